"""Where a link points: bare or as a URL, an entity or one of the nodes beside it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from urllib.parse import unquote, urlsplit


class Node(Enum):
    ENTITY = "entity"
    MANAGEMENT = "$management"
    CBS = "$cbs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    node: Node
    entity: str
    """The entity's path as the client spelled it; empty for the claims node."""

    @property
    def path(self) -> str:
        """What a token must be for: the entity, or its management node."""
        return f"{self.entity}/{self.node.value}" if self.node is Node.MANAGEMENT else self.entity


def parse_address(text: str) -> Address:
    """`queue`, `amqps://host/topic/Subscriptions/name/$DeadLetterQueue`, `queue/$management`, `$cbs`."""
    path = _path(text).strip("/")
    if path.casefold() == Node.CBS.value:
        return Address(node=Node.CBS, entity="")
    entity, _, last = path.rpartition("/")
    if last.casefold() == Node.MANAGEMENT.value:
        return Address(node=Node.MANAGEMENT, entity=entity)
    return Address(node=Node.ENTITY, entity=path)


def _path(text: str) -> str:
    """What is no URL, though it looks like one, is an entity's name, which none has."""
    if "://" not in text:
        return text
    try:
        return unquote(urlsplit(text).path)
    except ValueError:  # such as an unclosed [ of an IPv6 host
        return text
