"""Which messages of a mailbox are locked, by token and by time."""

import math
from collections import OrderedDict
from uuid import UUID

from worker.emulator.broker.entry import Entry
from worker.emulator.broker.errors import MessageLockLostError
from worker.emulator.broker.tokens import LockTokens


class Locks:
    """In order of `locked_until`, given that all last equally long: the one taken or renewed last stands last."""

    def __init__(self, tokens: LockTokens) -> None:
        self._tokens = tokens
        self._entries: OrderedDict[UUID, Entry] = OrderedDict()

    def take(self, entry: Entry, until: float) -> None:
        token = self._tokens.next()
        entry.lock_token = token
        entry.locked_until = until
        self._entries[token] = entry

    def drop(self, entry: Entry) -> None:
        if entry.lock_token is not None:
            del self._entries[entry.lock_token]
        entry.lock_token = None
        entry.locked_until = None

    def find(self, token: UUID) -> Entry:
        """Raises MessageLockLostError."""
        entry = self._entries.get(token)
        if entry is None:
            raise MessageLockLostError(f"no message is locked by {token}: its lock expired, or it is settled already")
        return entry

    def renew(self, token: UUID, until: float) -> None:
        self._entries[token].locked_until = until
        self._entries.move_to_end(token)

    def first_expired(self, now: float) -> Entry | None:
        if self.next_deadline() > now:
            return None
        return next(iter(self._entries.values()))

    def next_deadline(self) -> float:
        for entry in self._entries.values():
            return math.inf if entry.locked_until is None else entry.locked_until
        return math.inf

    def __len__(self) -> int:
        return len(self._entries)
