"""Panels of curves as SVG: middle tones on nothing, to be read on light and dark pages alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

INK: Final = "#808892"
BLUE: Final = "#3b82e0"
AMBER: Final = "#c77d12"
GREEN: Final = "#2f9e6b"

WIDTH: Final = 720
LEFT: Final = 60
RIGHT: Final = 8
PANEL_HEIGHT: Final = 150
PLOT_HEIGHT: Final = 96
HEADING: Final = 28


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Values from 0 to 1, evenly spaced."""

    name: str
    ink: str
    values: Sequence[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """`ticks`: below, evenly spaced from the first value to the last; `least` and `most`: on the left."""

    title: str
    curves: Sequence[Curve]
    ticks: Sequence[str]
    least: str
    most: str


def drawn(title: str, *panels: Panel) -> str:
    content = "\n".join(_panel(panel, HEADING + place * PANEL_HEIGHT) for place, panel in enumerate(panels))
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {len(panels) * PANEL_HEIGHT}" role="img" \
font-family="system-ui, sans-serif" font-size="12" fill="{INK}">
<title>{title}</title>
{content}
</svg>
"""


def _panel(panel: Panel, top: int) -> str:
    bottom = top + PLOT_HEIGHT
    legend = "".join(
        f'<tspan dx="14" fill="{curve.ink}" font-weight="600">{curve.name}</tspan>' for curve in panel.curves
    )
    last = len(panel.ticks) - 1
    ticks = "".join(
        f'<text x="{_across(at / last):.0f}" y="{bottom + 14}" text-anchor="middle">{tick}</text>'
        for at, tick in enumerate(panel.ticks)
    )
    lines = "".join(
        f'<polyline points="{_corners(curve.values, bottom)}" stroke="{curve.ink}" stroke-width="2"/>'
        for curve in panel.curves
    )
    return f"""<text x="{LEFT}" y="{top - 10}"><tspan font-weight="600">{panel.title}</tspan>{legend}</text>
<path d="M{LEFT},{top}H{WIDTH - RIGHT}M{LEFT},{bottom}H{WIDTH - RIGHT}" stroke="{INK}" stroke-opacity=".35"/>
<g text-anchor="end"><text x="{LEFT - 6}" y="{top + 4}">{panel.most}</text>\
<text x="{LEFT - 6}" y="{bottom + 4}">{panel.least}</text></g>{ticks}
<g fill="none" stroke-linejoin="round">{lines}</g>"""


def _across(share: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * (0.03 + 0.94 * share)


def _corners(values: Sequence[float], bottom: int) -> str:
    """Without what lies between equals."""
    last = len(values) - 1
    return " ".join(
        f"{_across(at / last):.0f},{bottom - PLOT_HEIGHT * value:.0f}"
        for at, value in enumerate(values)
        if at in (0, last) or not values[at - 1] == value == values[at + 1]
    )
