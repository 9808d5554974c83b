"""What the holder of a session leaves in its state: which request it has begun, for whoever holds the session next.

The broker counts no delivery where a session is closed, and a worker that dies closes it. Without the note nobody
would know that the flow may have been called.
"""

import json
from dataclasses import dataclass

_KEY = "flowbridge"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionNote:
    """`times`: how often the request was begun."""

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


def begun_before(note: SessionNote | None, sequence_number: int) -> int:
    """How often, by holders that ended without a word."""
    return note.times if note is not None and note.sequence_number == sequence_number else 0
