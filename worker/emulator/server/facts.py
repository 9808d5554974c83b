"""What can be seen of a running broker, and waiting until it is so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager

from worker.emulator.broker import BrokeredMessage, MessageCounts
from worker.emulator.server.floor import Floor
from worker.emulator.server.history import Record
from worker.emulator.server.wire import TcpWire


class Facts:
    """Each is as it stands when it is asked for."""

    def __init__(self, floor: Floor, wires: Collection[TcpWire]) -> None:
        self._floor = floor
        self._wires = wires

    @property
    def connections(self) -> int:
        return len(self._wires)

    @property
    def links(self) -> int:
        """On all connections, with those to `$cbs` and `$management`."""
        return sum(wire.link_count for wire in self._wires)

    @property
    def history(self) -> Sequence[Record]:
        """Grows while it is looked at."""
        return self._floor.history.records

    def forget_history(self) -> None:
        """What was recorded so far, so that a long run stays small."""
        self._floor.history.forget()

    def connections_by(self, key_name: str, *, entity: str | None = None) -> int:
        """Of clients that signed their token with the shared access key of this name; those with a link on `entity`."""
        mine = [wire for wire in self._wires if self._floor.key_name_of(wire) == key_name]
        return sum(entity is None or wire.has_link_on(entity) for wire in mine)

    @contextmanager
    def watched(self, look: Callable[[], None]) -> Iterator[None]:
        """`look` is called after everything that happens at the broker, before any client hears of it."""
        self._floor.watchers.append(look)
        try:
            yield
        finally:
            self._floor.watchers.remove(look)

    def counts(self, entity: str) -> MessageCounts:
        """Raises EntityNotFoundError."""
        return self._floor.broker.counts(entity)

    def messages(self, entity: str) -> list[BrokeredMessage]:
        """In order of sequence number, locked ones too; `queue/$DeadLetterQueue` for dead letters."""
        return self._floor.messages(entity)

    async def until(self, is_so: Callable[[Facts], bool], *, timeout_s: float = 10.0) -> None:
        """Looks after everything that happens at the broker. Raises TimeoutError."""
        seen = asyncio.get_running_loop().create_future()

        def look() -> None:
            if seen.done():
                return
            try:
                if is_so(self):
                    seen.set_result(None)
            except Exception as error:  # noqa: BLE001 - the caller's own, and handed to it
                seen.set_exception(error)

        with self.watched(look):
            self._floor.tell_time()
            async with asyncio.timeout(timeout_s):
                await seen
