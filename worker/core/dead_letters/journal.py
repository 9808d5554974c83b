"""What a replay writes down as it goes, a line for each step of each copy, so that the next one can go on.

A replay stands between a line that says what it was asked for and one that says that it is done. Without the latter it
is unfinished, and goes on when the same is asked for again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import orjson


class Step(StrEnum):
    SENDING = "sending"  # whether it arrived isn't known before the next step
    UNSENT = "unsent"  # after all
    SENT = "sent"
    COMPLETED = "completed"


class Mark(StrEnum):
    BEGUN = "begun"
    DONE = "done"


MOST_WITNESSES: Final = 100
ARRIVED: Final = frozenset({Step.SENT, Step.COMPLETED})
_STEPS: Final = frozenset(Step)
_FIRST_BYTES: Final = b'{"step":"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """`copy_id`: the message id of what is sent. The sequence number and the time are for people."""

    step: Step
    copy_id: str
    sequence_number: int
    request_id: str
    at: str  # ISO 8601, UTC


@dataclass(slots=True, kw_only=True)
class History:
    """`steps`: how far each copy has come, by its id; `unfinished`: by what a replay was asked for, the requests that
    it has sent or was about to, as `written`.
    """

    steps: dict[str, Step] = field(default_factory=dict)
    unfinished: dict[str, set[str]] = field(default_factory=dict)


def line_of(entry: Entry) -> bytes:
    told = {
        "step": entry.step,
        "copy_id": entry.copy_id,
        "sequence_number": entry.sequence_number,
        "request_id": written(entry.request_id),
        "at": entry.at,
    }
    return orjson.dumps(told) + b"\n"


def mark_line(mark: Mark, asked: str, at: str) -> bytes:
    """`asked`: what the replay was asked for, the same whenever that is the same."""
    return orjson.dumps({"step": mark, "asked": written(asked), "at": at}) + b"\n"


def written(text: str) -> str:
    """Without what JSON has no way to say."""
    return text.encode(errors="replace").decode()


def begins_journal(first: bytes) -> bool:
    """Whether a file with this first line, which a kill may have cut short, can be a journal."""
    return first.startswith(_FIRST_BYTES)


def history_in(lines: Iterable[bytes]) -> History:
    """What is no line of ours, such as one that a kill cut short, says nothing.

    A copy's last step counts, but one that was sent is never sent again, whatever else is said of it.
    """
    history, asked = History(), ""
    for line in lines:
        told = _read(line)
        match told:
            case {"step": Mark.BEGUN, "asked": str(asked)}:
                history.unfinished.setdefault(asked, set())
            case {"step": Mark.DONE, "asked": str(ended)}:
                history.unfinished.pop(ended, None)
            case {"step": str(text), "copy_id": str(copy_id)} if text in _STEPS:
                step = Step(text)
                if step in ARRIVED or history.steps.get(copy_id) not in ARRIVED:
                    history.steps[copy_id] = step
                _note(history.unfinished.get(asked, set()), step, told.get("request_id"))
    return history


def last_sent(steps: Mapping[str, Step]) -> list[str]:
    """The copies that were, at most a hundred; `steps` as they were read."""
    return [copy_id for copy_id, step in steps.items() if step in ARRIVED][-MOST_WITNESSES:]


def _note(requests: set[str], step: Step, request_id: object) -> None:
    if step is Step.UNSENT:
        requests.discard(str(request_id))
    elif isinstance(request_id, str):
        requests.add(request_id)


def _read(line: bytes) -> dict[str, object]:
    try:
        told = orjson.loads(line)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
