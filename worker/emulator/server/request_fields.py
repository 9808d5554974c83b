"""A management request's map, read by type."""

from __future__ import annotations

from uuid import UUID

from worker.emulator.amqp.types import Array
from worker.emulator.broker import PropertyValue


class RequestError(Exception):
    """The request's map is not what the operation takes."""


class Fields:
    """A request's map, read by type."""

    def __init__(self, body: object) -> None:
        if not isinstance(body, dict):
            raise RequestError("the request's body is a map")
        self._body = body

    def integer(self, name: str, *, default: int | None = None) -> int:
        value = self._body.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise RequestError(f"{name} is an integer, not {type(value).__name__}")
        return int(value)

    def count(self, name: str, *, default: int | None = None) -> int:
        number = self.integer(name, default=default)
        if number < 0:
            raise RequestError(f"{name} is at least 0, not {number}")
        return number

    def text(self, name: str) -> str:
        value = self._body.get(name)
        if not isinstance(value, str):
            raise RequestError(f"{name} is a string, not {type(value).__name__}")
        return value

    def optional_text(self, name: str) -> str | None:
        return None if self._body.get(name) is None else self.text(name)

    def optional_binary(self, name: str) -> bytes | None:
        value = self._body.get(name)
        if value is not None and not isinstance(value, bytes):
            raise RequestError(f"{name} is binary, not {type(value).__name__}")
        return value

    def integers(self, name: str) -> list[int]:
        return [int(item) for item in self._items(name) if isinstance(item, int)]

    def uuids(self, name: str) -> list[UUID]:
        """Big-endian on this node, as AMQP wants; delivery tags are not."""
        return [item for item in self._items(name) if isinstance(item, UUID)]

    def messages(self) -> list[bytes]:
        messages = [item.get("message") for item in self._items("messages") if isinstance(item, dict)]
        return [message for message in messages if isinstance(message, bytes)]

    def properties(self, name: str) -> dict[str, PropertyValue]:
        value = self._body.get(name)
        return as_properties(value)

    def _items(self, name: str) -> list[object]:
        value = self._body.get(name)
        if isinstance(value, Array):
            return list(value.items)
        if isinstance(value, list):
            return value
        raise RequestError(f"{name} is an array or a list, not {type(value).__name__}")


def as_properties(value: object) -> dict[str, PropertyValue]:
    """The entries of an AMQP map that application properties can hold."""
    if not isinstance(value, dict):
        return {}
    return {
        str(key): item
        for key, item in value.items()
        if item is None or isinstance(item, str | int | float | bytes | UUID)
    }
