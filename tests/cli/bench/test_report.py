import math
from dataclasses import replace
from xml.etree import ElementTree as ET

from rich.console import Console

from worker.cli.bench.cores import Cores
from worker.cli.bench.drawing import drawn
from worker.cli.bench.figures import Calm, FullLoad
from worker.cli.bench.panels import panels
from worker.cli.bench.report import Results, as_json
from worker.cli.bench.screen import shown

SLOW = FullLoad(requests_per_s=500, cpu_ms_per_request=2, p50_ms=120, p99_ms=240, peak_mb=90, measured=2000)
FAST = FullLoad(requests_per_s=2000, cpu_ms_per_request=0.5, p50_ms=30, p99_ms=60, peak_mb=50.12345, measured=2000)
RESULTS = Results(
    rounds={"floor": [FAST, FAST], "worker": [SLOW, SLOW]},
    calm={
        "floor": [Calm(per_s=20.0, p50_ms=20.0, p99_ms=25.0, measured=80)],
        "worker": [Calm(per_s=20.0, p50_ms=4.0, p99_ms=8.0, measured=80)],
    },
    missing={"node": "there is no node on PATH"},
    sdks={"floor": "azure-servicebus 7", "worker": "azure-servicebus 7"},
    cores=Cores(broker=0, measured=1, rest=0),
    options={"count": 2000},
)
WITHOUT_CLOCKS = replace(
    RESULTS, rounds={name: [replace(each[0], cpu_ms_per_request=math.nan)] for name, each in RESULTS.rounds.items()}
)


def text_of(results: Results) -> str:
    console = Console(width=80, highlight=False, color_system=None)
    with console.capture() as capture:
        console.print(shown(results))
    return capture.get()


def test_the_json_has_a_name_for_each_figure() -> None:
    told = as_json(RESULTS)
    assert told["floor"] == {
        "requests_per_s": 2000,
        "cpu_ms_per_request": 0.5,
        "p50_ms": 30,
        "p99_ms": 60,
        "peak_mb": 50.123,
        "measured": 2000,
    }
    assert told["calm"]["worker"] == {"20": {"p50_ms": 4.0, "p99_ms": 8.0, "measured": 80}}
    assert told["ratios"] == {"worker_to_floor": {"requests_per_s": 0.25, "cpu_ms_per_request": 4.0}}
    assert told["missing"] == {"node": "there is no node on PATH"}
    assert told["machine"]["pinned"] == {"broker": 0, "measured": 1, "rest": 0}
    assert told["options"] == {"count": 2000}


def test_without_the_worker_there_are_no_ratios() -> None:
    assert as_json(replace(RESULTS, rounds={"floor": [FAST]}))["ratios"] == {}


def test_what_the_system_does_not_tell_is_null_a_dash_and_not_drawn() -> None:
    told = as_json(WITHOUT_CLOCKS)
    assert told["worker"]["cpu_ms_per_request"] is None
    assert told["ratios"]["worker_to_floor"]["cpu_ms_per_request"] is None
    assert ["CPU" in panel.title for panel in panels(RESULTS)] == [False, True, False]
    assert not any("CPU" in panel.title for panel in panels(WITHOUT_CLOCKS))
    assert "worker            500            -   120.0" in text_of(WITHOUT_CLOCKS)


def test_the_text_shows_tables_bars_and_why_one_is_missing() -> None:
    lines = text_of(RESULTS).splitlines()
    assert "floor           2,000         0.50    30.0    60.0       50     2,000" in map(str.rstrip, lines)
    assert "floor            0.25      4.00" in lines
    assert "node: not measured, there is no node on PATH" in lines
    assert f"worker  {'█' * 6}{'░' * 7}" in " ".join(lines)
    assert "Pinned: the broker on core 0, the subject on 1, load and flow on 0." in " ".join(
        " ".join(line.split()) for line in lines
    )


def test_the_picture_has_a_bar_for_each_figure_within_its_frame() -> None:
    picture = ET.fromstring(drawn(panels(RESULTS)))
    width = float(picture.attrib["viewBox"].split()[2])
    bars = list(picture.iter("{http://www.w3.org/2000/svg}rect"))
    assert len(bars) == 3 * 2 + 2  # p99 has a part of its own
    assert all(float(bar.attrib["x"]) + float(bar.attrib["width"]) <= width for bar in bars)
