"""Connections, sessions and links open and close alike: each peer opens its half once and closes it once.

The states that the specification names (OPENED, BEGIN RCVD, ATTACH SENT, DISCARDING, …) are the pairs of two halves.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from worker.emulator.amqp.errors import ILLEGAL_STATE, LocalProtocolError, RemoteProtocolError


class Half(Enum):
    NEW = "not opened yet"
    OPEN = "open"
    CLOSED = "closed"


class Act(Enum):
    OPENS = "opened"
    CLOSES = "closed"


TRANSITIONS: Final[dict[Half, dict[Act, Half]]] = {
    Half.NEW: {Act.OPENS: Half.OPEN},
    Half.OPEN: {Act.CLOSES: Half.CLOSED},
    Half.CLOSED: {},
}


class Lifecycle:
    __slots__ = ("_of", "is_open", "local", "remote")

    def __init__(self, of: str) -> None:
        self._of = of
        self.local = Half.NEW
        self.remote = Half.NEW
        self.is_open = False
        """Both halves are."""

    def local_acts(self, act: Act) -> None:
        after = TRANSITIONS[self.local].get(act)
        if after is None:
            raise LocalProtocolError(f"a {self._of} cannot be {act.value} here while it is {self.local.value}")
        self.local = after
        self.is_open = self.remote is Half.OPEN and after is Half.OPEN

    def remote_acts(self, act: Act) -> None:
        after = TRANSITIONS[self.remote].get(act)
        if after is None:
            raise RemoteProtocolError(
                ILLEGAL_STATE, f"a {self._of} cannot be {act.value} by its peer while it is {self.remote.value}"
            )
        self.remote = after
        self.is_open = self.local is Half.OPEN and after is Half.OPEN
