"""How dead letters are written for people and programs: without secrets, and nothing that a terminal would act on."""

import shutil
import sys
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import typer

from worker.core.redaction import redact

_GAP: Final = "  "
_LEAST_COLUMN: Final = 6


def moment(epoch_ms: int) -> str:
    """To the second, in UTC."""
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def say(line: str, *, err: bool = False) -> None:
    typer.echo(redact(_inert(line)), err=err)


def say_json(told: dict[str, Any]) -> None:
    typer.echo(redact(orjson.dumps(told).decode()))


def width() -> int | None:
    """Of the terminal; None where there is none, and nothing is to be cut."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, cut: Collection[int] = (), width: int | None = None
) -> list[str]:
    """Columns as wide as what is in them, but those of `cut` as narrow as `width` asks for; the first is of numbers."""
    lines = [[_inert(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    if width is not None:
        _narrow(widths, [max(len(head[column]), _LEAST_COLUMN) for column in range(len(head))], cut, width)
    return [
        _GAP.join(
            short(cell, most).ljust(most) if column else cell.rjust(most)
            for column, (cell, most) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


def _narrow(widths: list[int], least: Sequence[int], cut: Collection[int], width: int) -> None:
    """The widest first."""
    excess = sum(widths) + len(_GAP) * (len(widths) - 1) - width
    for _ in range(excess):
        able = [column for column in cut if widths[column] > least[column]]
        if not able:
            return
        widths[max(able, key=lambda column: widths[column])] -= 1


def short(text: str | None, most: int) -> str:
    if text is None:
        return "-"
    return text if len(text) <= most else f"{text[: most - 1]}…"


def counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _inert(text: str) -> str:
    return text if text.isprintable() else repr(text)[1:-1]
