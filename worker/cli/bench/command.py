"""`flowbridge bench`: the side-by-side benchmark."""

import asyncio
import math
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import orjson
import typer

from worker.cli.bench.subjects import NAMES
from worker.cli.options import AsJson, in_loop, until_stopped
from worker.cli.process import INTERRUPTED

if TYPE_CHECKING:
    from worker.cli.bench.report import Results
    from worker.cli.bench.series import Series

MOST_PER_S: Final = 10_000.0


def bench(  # noqa: PLR0917 - typer's signature
    count: Annotated[int, typer.Option(metavar="N", min=10, help="Requests measured in a round.")] = 2000,
    in_flight: Annotated[int, typer.Option(metavar="N", min=1, max=1000, help="Requests at once.")] = 64,
    sessions: Annotated[int, typer.Option(metavar="N", min=1, max=500, help="Reply sessions they share.")] = 4,
    flow_delay: Annotated[
        float, typer.Option(metavar="S", min=0, max=20, help="Seconds before the flow answers.")
    ] = 0.0,
    round_trip: Annotated[
        float, typer.Option(metavar="MS", min=0, max=1000, help="Milliseconds to the broker and back.")
    ] = 0.0,
    rounds: Annotated[int, typer.Option(metavar="N", min=1, max=100, help="Of each subject; medians count.")] = 3,
    rates: Annotated[str, typer.Option(metavar="R[,R]…", help="Requests/s of the calm rows; 0 for none.")] = "20,200",
    subjects: Annotated[str, typer.Option(metavar="NAME[,NAME]…", help="What to measure.")] = ",".join(NAMES),
    node_modules: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where @azure/service-bus is installed, if not here or in NODE_PATH."),
    ] = None,
    svg: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the figures into it, too.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure the worker beside other ways to do its job, on this machine and the embedded broker.

    \b
      floor       the least code on the SDK, written for speed
      worker      flowbridge run
      plain       the loop of the SDK's samples, one request after the other
      documented  a task for each message, as documentation suggests
      node        the same with the JavaScript SDK, where that is installed

    Each is a process, started anew for each round. At full load --in-flight requests are under way at any time, and a
    round takes 5 s at most; the calm rows of floor, worker and node are at steady rates. Absolute numbers are this
    machine's, ratios travel better. Takes about a minute and a half.

    \b
    Examples:
      flowbridge bench
      flowbridge bench --flow-delay 0.05 --round-trip 5 --subjects floor,worker,documented --json

    Exit status: 0 when all was measured, 1 when a subject died or stalled.
    """  # noqa: D301 - click keeps the lines of a paragraph after \b
    from worker.cli.bench.cores import Cores
    from worker.cli.bench.measuring import ENTITIES, Measuring
    from worker.cli.bench.report import as_json as json_of
    from worker.cli.bench.series import Series

    names = _names(subjects)
    if svg is not None and not svg.resolve().parent.is_dir():
        raise typer.BadParameter(f"there is no folder {svg.parent}", param_hint="--svg")
    per_s = _rates(rates)
    with tempfile.TemporaryDirectory() as folder:
        entities = Path(folder, "entities.toml")
        entities.write_text(ENTITIES, encoding="utf-8")
        measuring = Measuring(
            cores=Cores.split(),
            entities=entities,
            in_flight=in_flight,
            sessions=sessions,
            count=count,
            flow_delay_s=flow_delay,
            round_trip_s=round_trip / 1000,
        )
        series = Series(
            measuring=measuring, names=names, rounds=rounds, rates=per_s, node_modules=node_modules, tell=_tell
        )
        results = in_loop(_until_stopped(series))
    if results is None:
        raise typer.Exit(INTERRUPTED)
    if svg is not None:
        from worker.cli.bench.drawing import drawn
        from worker.cli.bench.panels import panels

        svg.write_text(drawn(panels(results)), encoding="utf-8")
    if as_json:
        typer.echo(orjson.dumps(json_of(results)))
    else:
        from worker.cli.bench.screen import say

        say(results)


async def _until_stopped(series: "Series") -> "Results | None":
    """None when a signal came first; then every process has ended, too."""
    with until_stopped() as stopped:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(series.run())
            stopping = tasks.create_task(stopped.wait())
            await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
            running.cancel()
            stopping.cancel()
    return None if running.cancelled() else running.result()


def _tell(line: str) -> None:
    if sys.stderr.isatty():
        typer.echo(line, err=True)


def _names(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise typer.BadParameter(
            f"expected some of {', '.join(NAMES)}, got {unknown[0]!r:.40}", param_hint="--subjects"
        )
    return names


def _rates(text: str) -> tuple[float, ...]:
    try:
        rates = tuple(dict.fromkeys(float(each) for each in text.split(",")))
    except ValueError:
        rates = (math.nan,)
    if not all(0 <= rate <= MOST_PER_S for rate in rates):
        raise typer.BadParameter(
            f"expected requests/s up to {MOST_PER_S:,.0f}, separated by commas, got {text!r:.40}", param_hint="--rates"
        )
    return tuple(rate for rate in rates if rate)
