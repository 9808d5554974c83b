"""Duplicate detection by message id."""

from collections import OrderedDict


class DuplicateWindow:
    """Remembers each id for a fixed time after it was first seen; a duplicate doesn't prolong that."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._seen: OrderedDict[str, tuple[float, int]] = OrderedDict()
        """Message id to when it is forgotten and the sequence number it got; the window being fixed, oldest first."""

    def original_of(self, message_id: str, now: float) -> int | None:
        """The sequence number of the message this one duplicates."""
        while self._seen and next(iter(self._seen.values()))[0] <= now:
            self._seen.popitem(last=False)
        seen = self._seen.get(message_id)
        return seen[1] if seen else None

    def remember(self, message_id: str, sequence_number: int, now: float) -> None:
        self._seen[message_id] = (now + self._window_s, sequence_number)

    def __len__(self) -> int:
        return len(self._seen)
