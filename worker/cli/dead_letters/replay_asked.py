"""What a replay was asked for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from worker.core.dead_letters.selection import Selection

EVEN_IF_IT_RAN: Final = "--even-if-it-ran"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """`rate_per_s`: None for as fast as can be; `journal`: None for the one named after the queue."""

    selection: Selection
    most: int | None
    to_flow: str | None
    rate_per_s: float | None
    even_if_it_ran: bool
    journal: Path | None
    is_dry_run: bool
    as_json: bool
