"""Lock tokens: unguessable across brokers by their salt, unique within one by counting."""

from itertools import count
from uuid import UUID


class LockTokens:
    def __init__(self, salt: int) -> None:
        """`salt`: up to 64 bits."""
        self._high_half = salt << 64
        self._numbers = count(1)

    def next(self) -> UUID:
        return UUID(int=self._high_half | next(self._numbers))
