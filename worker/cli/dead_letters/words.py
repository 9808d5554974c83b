"""How dead letters are written for people and programs: without secrets, and nothing that a terminal would act on."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
import typer

from worker.core.redaction import redact


def moment(epoch_ms: int) -> str:
    """To the second, in UTC."""
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def say(line: str, *, err: bool = False) -> None:
    typer.echo(redact(_inert(line)), err=err)


def say_json(told: dict[str, Any]) -> None:
    typer.echo(redact(orjson.dumps(told).decode()))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns as wide as what is in them; the first is of numbers."""
    lines = [[_inert(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if column else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


def short(text: str | None, most: int) -> str:
    if text is None:
        return "-"
    return text if len(text) <= most else f"{text[: most - 1]}…"


def counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _inert(text: str) -> str:
    return text if text.isprintable() else repr(text)[1:-1]
