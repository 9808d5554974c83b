"""What is drawn of the results, on the terminal and in a file alike: bars, a panel for each figure."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from worker.cli.bench.report import OURS, Results


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """`most`: where a fainter part of it ends, at or above `value`."""

    name: str
    value: float
    most: float
    label: str

    @property
    def is_ours(self) -> bool:
        return self.name == OURS


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    title: str
    bars: Sequence[Bar]

    @property
    def longest(self) -> float:
        return max(bar.most for bar in self.bars)


def panels(results: Results) -> list[Panel]:
    """Without figures that this system doesn't tell."""
    return [panel for panel in _panels(results) if panel.bars and not math.isnan(panel.longest)]


def _panels(results: Results) -> Iterator[Panel]:
    full_load = results.full_load.items()
    yield Panel(
        title="requests/s at full load",
        bars=[_bar(name, each.requests_per_s, f"{each.requests_per_s:,.0f}") for name, each in full_load],
    )
    yield Panel(
        title="CPU ms for a request (less is better)",
        bars=[_bar(name, each.cpu_ms_per_request, f"{each.cpu_ms_per_request:.2f}") for name, each in full_load],
    )
    for rate in {each.per_s: None for rows in results.calm.values() for each in rows}:
        rows = [(name, each) for name, rows in results.calm.items() for each in rows if each.per_s == rate]
        yield Panel(
            title=f"ms from request to reply at {rate:g}/s: p50, and p99 fainter (less is better)",
            bars=[
                Bar(name=name, value=each.p50_ms, most=each.p99_ms, label=f"{each.p50_ms:.1f} / {each.p99_ms:.1f}")
                for name, each in rows
            ],
        )


def _bar(name: str, value: float, label: str) -> Bar:
    return Bar(name=name, value=value, most=value, label=label)
