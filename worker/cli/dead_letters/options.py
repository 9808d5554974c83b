"""The options that the commands share: where dead letters lie, and which of them are meant."""

from dataclasses import dataclass
from typing import Annotated, TypeAlias

import typer

from worker.core.dead_letters.selection import Selection

Queue: TypeAlias = Annotated[
    str | None, typer.Option(metavar="Q", help="The dead letters of this queue. [default: where requests come from]")
]
OfRetryQueue: TypeAlias = Annotated[
    bool, typer.Option("--retry-queue", help="The dead letters of the retry queue beside a topic.")
]
Reasons: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--reason", metavar="R", help="Only those of this reason; may be repeated. [default: any]"),
]
Flows: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--flow", metavar="NAME", help="Only those for this flow; may be repeated. [default: any]"),
]
Ids: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--message-id", metavar="ID", help="Only the one of this message or request id; may be repeated."),
]
Numbers: TypeAlias = Annotated[
    list[int] | None,
    typer.Option("--sequence-number", metavar="N", help="Only the one of this number; may be repeated."),
]
Most: TypeAlias = Annotated[
    int | None, typer.Option("--max", metavar="N", min=1, help="The oldest N at most. [default: all]")
]
DryRun: TypeAlias = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """`queue`: None for where requests come from."""

    queue: str | None
    is_retry_queue: bool

    def __post_init__(self) -> None:
        if self.queue is not None and self.is_retry_queue:
            raise typer.BadParameter("expected --queue or --retry-queue, got both", param_hint="--retry-queue")


def selection_of(
    reasons: list[str] | None, flows: list[str] | None, ids: list[str] | None, numbers: list[int] | None
) -> Selection:
    return Selection(
        reasons=reasons or (), flows=flows or (), ids=frozenset(ids or ()), sequence_numbers=frozenset(numbers or ())
    )
