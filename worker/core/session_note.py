"""What the holder of a session leaves in its state: which request it has begun, for whoever holds the session next.

The broker counts no delivery where a session is closed, and a worker that dies closes it. Without the note nobody
would know that the flow may have been called.
"""

import json
from dataclasses import dataclass, replace

from worker.core.delivery import Delivery

_KEY = "flowbridge"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionNote:
    """`times`: deliveries of the request, the one that was begun last included."""

    sequence_number: int
    times: int

    def encode(self) -> bytes:
        return json.dumps({_KEY: {"begun": self.sequence_number, "times": self.times}}).encode()


def read_note(state: bytes | None) -> SessionNote | None:
    """None where there is none, or somebody else wrote it."""
    try:
        document = json.loads(state or b"null")
    except (ValueError, RecursionError):
        return None
    note = document.get(_KEY) if isinstance(document, dict) else None
    if not isinstance(note, dict):
        return None
    begun, times = note.get("begun"), note.get("times")
    if not isinstance(begun, int) or not isinstance(times, int) or times < 1:
        return None
    return SessionNote(sequence_number=begun, times=times)


class Notes:
    """What one holder of a session finds in its state, writes there and leaves there."""

    def __init__(self, found: SessionNote | None = None) -> None:
        self.written = found  # as the state has it
        self.remaining = found  # as it is to be left to the next holder
        self._found = found

    def told(self, delivery: Delivery) -> Delivery:
        """With every earlier delivery counted, also those that ended without a word; what the broker counts is one."""
        found = self._found
        if found is None or found.sequence_number != delivery.sequence_number:
            return delivery
        return replace(delivery, delivery_count=max(delivery.delivery_count, found.times))

    def begin(self, delivery: Delivery) -> SessionNote:
        """What the state must say before the work begins. The delivery is as `told`."""
        self.remaining = SessionNote(sequence_number=delivery.sequence_number, times=delivery.delivery_count + 1)
        return self.remaining

    def gone(self) -> None:
        """What was begun has left the queue."""
        self.remaining = None

    def counted(self) -> None:
        """The broker itself counts that it was begun, and may have taken it out."""
        self._found, self.remaining = self.remaining or self._found, None

    def taken_back(self) -> None:
        """It wasn't called after all."""
        begun, found = self.remaining, self._found
        is_known = begun is not None and found is not None and begun.sequence_number == found.sequence_number
        self.remaining = found if is_known else None
