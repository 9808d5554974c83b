"""Where in a document something stands: handed down as links, put into words only where something is wrong."""

from typing import TypeAlias

from worker.core.dataverse.document import ContextBroken

Place: TypeAlias = "tuple[Place, str | int] | None"  # None: the document itself

# Names are chosen by senders: what is said of them has to fit a log line and a dead letter.
_MOST_OF_A_NAME = 60
_MOST_OF_A_PLACE = 240


def broken_at(place: Place, what: str) -> ContextBroken:
    return ContextBroken(f"{in_words(place)}: {what}")


def in_words(place: Place) -> str:
    """`InputParameters.Target.Attributes[3]`, its middle left out where it is long."""
    parts: list[str] = []
    while place is not None:
        place, part = place
        parts.append(f"[{part}]" if isinstance(part, int) else f".{part:.{_MOST_OF_A_NAME}}")
    text = "".join(reversed(parts)).removeprefix(".").encode(errors="backslashreplace").decode()
    if len(text) > _MOST_OF_A_PLACE:
        text = f"{text[: _MOST_OF_A_PLACE // 2]}…{text[-_MOST_OF_A_PLACE // 2 :]}"
    return text or "the document"
