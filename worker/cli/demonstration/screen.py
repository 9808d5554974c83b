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
FULL_WIDTH: Final = 132  # below it, event and run id give way
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
        is_wide = self._console.width >= FULL_WIDTH
        table = Table(box=None, pad_edge=False, header_style="dim")
        for name, is_shown in (("", True), ("request", True), ("Dataverse event", is_wide), ("flow", True)):
            if is_shown:
                table.add_column(name, no_wrap=True)
        table.add_column("outcome", no_wrap=True)
        for name in ("HTTP", "tries", "ms"):
            table.add_column(name, justify="right")
        if is_wide:
            table.add_column("run", no_wrap=True)
        for question in self.asked:
            event = [f"{question.message} {question.table}"] if is_wide else []
            seen = self._seen.get(question.title)
            cells = [WAITING] * 5 if seen is None else _cells(seen)
            mark = Text(" ") if seen is None else Text("✓", "green") if seen.wrong is None else Text("✗", "red")
            table.add_row(mark, question.title, *event, question.target, *(cells if is_wide else cells[:-1]))
        return table


def _cells(seen: Seen) -> list[Text]:
    reply = seen.reply
    if reply is None:
        return [Text("no reply", "red"), Text(""), Text(""), Text(f"{seen.elapsed_ms:.0f}"), Text("")]
    return [
        Text(reply.outcome.value, COLOURS[reply.outcome]),
        Text(str(reply.http_status or "-")),
        Text("-" if reply.attempts is None else str(reply.attempts)),
        Text(f"{seen.elapsed_ms:.0f}"),
        Text(reply.run_id or "-", "dim"),
    ]


def _line(seen: Seen) -> str:
    cells = [cell.plain for cell in _cells(seen)]
    told = ("outcome", "HTTP", "attempts", "ms", "run")
    facts = ", ".join(f"{name} {cell}" for name, cell in zip(told, cells, strict=True) if cell)
    mark = "ok" if seen.wrong is None else "WRONG"
    return f"{mark:5}  {seen.title} ({seen.event} → {seen.target}): {facts}"
