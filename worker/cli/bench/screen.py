"""The results for a person: tables and bars."""

import math
from collections.abc import Iterable
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from worker.cli.bench.panels import Bar, Panel, panels
from worker.cli.bench.report import OURS, PYTHON, SYSTEM, Results

BAR_WIDTH: Final = 40


def shown(results: Results) -> RenderableType:
    parts: list[RenderableType] = [_full_load(results)]
    if results.missing:
        parts.append(Group(*(Text(f"{name}: not measured, {why}") for name, why in results.missing.items())))
    if results.ratios:
        parts.append(_ratios(results))
    if any(results.calm.values()):
        parts.append(_calm(results))
    parts += [_bars(panel) for panel in panels(results)]
    parts.append(_circumstances(results))
    return Group(*(line for part in parts for line in (part, Text())))


def say(results: Results) -> None:
    Console(highlight=False).print(shown(results))


def _full_load(results: Results) -> Table:
    table = _table("full load", "requests/s", "CPU ms each", "p50 ms", "p99 ms", "peak MB", "measured")
    for name, each in results.full_load.items():
        figures = (
            (each.requests_per_s, ",.0f"),
            (each.cpu_ms_per_request, ".2f"),
            (each.p50_ms, ".1f"),
            (each.p99_ms, ".1f"),
            (each.peak_mb, ".0f"),
            (each.measured, ",.0f"),
        )
        _add(table, name, (_number(value, form) for value, form in figures))
    return table


def _ratios(results: Results) -> Table:
    table = _table(f"{OURS} to", "requests/s", "CPU each")
    for name, ratio in results.ratios.items():
        _add(table, name, (_number(each, ".2f") for each in (ratio.requests_per_s, ratio.cpu_ms_per_request)))
    return table


def _calm(results: Results) -> Table:
    rates = [each.per_s for each in next(iter(results.calm.values()))]
    table = _table("calm", *(text for rate in rates for text in (f"p50 ms at {rate:g}/s", "p99 ms")))
    for name, rows in results.calm.items():
        _add(table, name, (_number(value, ".1f") for each in rows for value in (each.p50_ms, each.p99_ms)))
    return table


def _bars(panel: Panel) -> Group:
    table = Table(box=None, pad_edge=False, show_header=False)
    for bar in panel.bars:
        table.add_row(_name(bar.name), _drawn(bar, panel.longest), bar.label)
    return Group(Text(panel.title), table)


def _circumstances(results: Results) -> Text:
    sdks = ", ".join(dict.fromkeys(results.sdks.values()))
    pinned = results.cores.told(measured="the subject", rest="load and flow")
    return Text(f"{SYSTEM}, Python {PYTHON}, {sdks}. {pinned}", style="dim")


def _drawn(bar: Bar, longest: float) -> Text:
    whole = round(BAR_WIDTH * bar.most / (longest or 1.0))
    long = round(BAR_WIDTH * bar.value / (longest or 1.0))
    return Text("█" * long + "░" * (whole - long), style="blue" if bar.is_ours else "dim")


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(first, no_wrap=True)
    for each in others:
        table.add_column(each, justify="right")
    return table


def _add(table: Table, name: str, cells: Iterable[str]) -> None:
    table.add_row(_name(name), *cells)


def _name(name: str) -> Text:
    return Text(name, style="bold" if name == OURS else "")


def _number(value: float, form: str) -> str:
    return "-" if math.isnan(value) else format(value, form)
