"""What a replay writes down as it goes, a line for each step of each copy, so that the next one can go on."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import orjson


class Step(StrEnum):
    SENDING = "sending"  # whether it arrived isn't known before the next step
    UNSENT = "unsent"  # after all
    SENT = "sent"
    COMPLETED = "completed"


MOST_WITNESSES: Final = 100
ARRIVED: Final = frozenset({Step.SENT, Step.COMPLETED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """`copy_id`: the message id of what is sent. The rest is for people."""

    step: Step
    copy_id: str
    sequence_number: int
    request_id: str
    at: str  # ISO 8601, UTC


def line_of(entry: Entry) -> bytes:
    request_id = entry.request_id.encode(errors="replace").decode()
    told = {
        "step": entry.step,
        "copy_id": entry.copy_id,
        "sequence_number": entry.sequence_number,
        "request_id": request_id,
        "at": entry.at,
    }
    return orjson.dumps(told) + b"\n"


def steps_in(lines: Iterable[bytes]) -> dict[str, Step]:
    """How far each copy has come, by its id. What is no line of ours, such as one that a kill cut short, says nothing.

    The last step counts, but a copy that was sent is never sent again, whatever else is said of it.
    """
    steps: dict[str, Step] = {}
    for line in lines:
        entry = _read(line)
        if entry is not None:
            copy_id, step = entry
            if step in ARRIVED or steps.get(copy_id) not in ARRIVED:
                steps[copy_id] = step
    return steps


def last_sent(steps: Mapping[str, Step]) -> list[str]:
    """The copies that were, at most a hundred; `steps` as they were read."""
    return [copy_id for copy_id, step in steps.items() if step in ARRIVED][-MOST_WITNESSES:]


def _read(line: bytes) -> tuple[str, Step] | None:
    try:
        told = orjson.loads(line)
        copy_id, step = told["copy_id"], Step(told["step"])
    except (ValueError, TypeError, KeyError):
        return None
    return (copy_id, step) if isinstance(copy_id, str) else None
