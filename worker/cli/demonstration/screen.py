"""The demo for the eye: a live table on a terminal, plain lines anywhere else."""

from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from worker.cli.demonstration.scenarios import Question, Seen
from worker.core.outcome import Outcome

COLOURS: Final = {
    Outcome.ANSWERED: "green",
    Outcome.REFUSED: "yellow",
    Outcome.UNAVAILABLE: "yellow",
    Outcome.INDETERMINATE: "magenta",
    Outcome.EXPIRED: "yellow",
    Outcome.REJECTED: "yellow",
}
MARK, EVENT, HTTP, TRIES, MS, RUN = "", "Dataverse event", "HTTP", "tries", "ms", "run"
COLUMNS: Final = (MARK, "request", EVENT, "flow", "outcome", HTTP, TRIES, MS, RUN)
NUMBERS: Final = frozenset({HTTP, TRIES, MS})
WITH_EVENT: Final = 132  # columns of the terminal
WITH_HTTP: Final = 108
SHORT_RUN: Final = 6
WAITING: Final = Text("…", style="dim")


class Screen:
    """Rows appear with the questions and fill as the answers come."""

    def __init__(self, asked: Sequence[Question]) -> None:
        self._console = Console(highlight=False)
        self.asked = asked
        self._seen: dict[str, Seen] = {}
        self._live = Live(self._table(), console=self._console, refresh_per_second=12, transient=False)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)

    def show(self, seen: Seen) -> None:
        self._seen[seen.title] = seen
        if self._console.is_terminal:
            self._live.update(self._table())
        else:
            self.say(_line(seen))

    def _table(self) -> Table:
        """What doesn't fit gives way: first the event, then the HTTP status and all but the end of a run's id."""
        width = self._console.width
        left_out = {
            *({EVENT} if width < WITH_EVENT else ()),
            *({HTTP} if width < WITH_HTTP else ()),
        }
        columns = [column for column in COLUMNS if column not in left_out]
        table = Table(box=None, pad_edge=False, header_style="dim")
        for column in columns:
            table.add_column(column, justify="right" if column in NUMBERS else "left", no_wrap=True)
        for question in self.asked:
            seen = self._seen.get(question.title)
            row = {
                EVENT: Text(f"{question.message} {question.table}"),
                "request": Text(question.title),
                "flow": Text(question.target),
                **({} if seen is None else _cells(seen)),
            }
            if width < WITH_HTTP and len(row.get(RUN, WAITING)) > SHORT_RUN:
                row[RUN] = Text(f"…{row[RUN].plain[-SHORT_RUN:]}", "dim")
            table.add_row(*(row.get(column, Text(" ") if column == MARK else WAITING) for column in columns))
        return table


def _cells(seen: Seen) -> dict[str, Text]:
    """By column; a run that isn't there is a dash."""
    mark = Text("✓", "green") if seen.wrong is None else Text("✗", "red")
    milliseconds = Text(f"{seen.elapsed_ms:.0f}")
    reply = seen.reply
    if reply is None:
        none = Text("-")
        return {MARK: mark, "outcome": Text("no reply", "red"), HTTP: none, TRIES: none, MS: milliseconds, RUN: none}
    return {
        MARK: mark,
        "outcome": Text(reply.outcome.value, COLOURS[reply.outcome]),
        HTTP: Text(str(reply.http_status or "-")),
        TRIES: Text("-" if reply.attempts is None else str(reply.attempts)),
        MS: milliseconds,
        RUN: Text(reply.run_id or "-", "dim"),
    }


def _line(seen: Seen) -> str:
    cells = _cells(seen)
    told = {"outcome": "outcome", HTTP: "HTTP", TRIES: "attempts", MS: "ms", RUN: "run"}
    facts = ", ".join(f"{name} {cells[column].plain}" for column, name in told.items())
    mark = "ok" if seen.wrong is None else "WRONG"
    return f"{mark:5}  {seen.title} ({seen.event} → {seen.target}): {facts}"
