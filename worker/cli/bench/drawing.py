"""The panels as SVG: middle tones on nothing, to be read on light and dark pages alike."""

from collections.abc import Sequence
from typing import Final
from xml.sax.saxutils import escape

from worker.cli.bench.panels import Bar, Panel

WIDTH: Final = 720
LEFT: Final = 96
RIGHT: Final = 90  # room for the labels
TITLE_HEIGHT: Final = 30
BAR_HEIGHT: Final = 20
THICK: Final = BAR_HEIGHT - 6
GAP: Final = 8
INK: Final = "#808892"
OUR_INK: Final = "#3b82e0"


def drawn(panels: Sequence[Panel]) -> str:
    parts, top = [], 0
    for panel in panels:
        parts.append(_panel(panel, top))
        top += TITLE_HEIGHT + BAR_HEIGHT * len(panel.bars) + GAP
    body = "\n".join(parts)
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" role="img" \
font-family="system-ui, sans-serif" font-size="12" fill="{INK}">
<title>The worker beside other ways to do its job</title>
{body}
</svg>
"""


def _panel(panel: Panel, top: int) -> str:
    title = f'<text x="{LEFT}" y="{top + 20}" font-weight="600">{escape(panel.title)}</text>'
    rows = [_row(bar, panel.longest, top + TITLE_HEIGHT + BAR_HEIGHT * place) for place, bar in enumerate(panel.bars)]
    return "\n".join((title, *rows))


def _row(bar: Bar, longest: float, top: int) -> str:
    ink, weight = (OUR_INK, "600") if bar.is_ours else (INK, "400")
    scale = (WIDTH - LEFT - RIGHT) / (longest or 1.0)
    long, whole = bar.value * scale, bar.most * scale
    beyond = (
        f'<rect x="{LEFT + long:.1f}" y="{top + 2}" width="{whole - long:.1f}" height="{THICK}" fill-opacity=".35"/>'
    )
    return f"""<g fill="{ink}" font-weight="{weight}"><text x="{LEFT - 8}" y="{top + 13}" \
text-anchor="end">{escape(bar.name)}</text>\
<rect x="{LEFT}" y="{top + 2}" width="{long:.1f}" height="{THICK}"/>{beyond if whole > long else ""}\
<text x="{LEFT + whole + 6:.1f}" y="{top + 13}">{escape(bar.label)}</text></g>"""
