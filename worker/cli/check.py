"""`flowbridge check`: would the worker work here?"""

from pathlib import Path
from typing import Annotated, Final

import orjson
import typer

from worker.cli.failure import OTHERWISE
from worker.cli.options import AsJson, Config, in_loop
from worker.core.redaction import redact

MARKS: Final = {"ok": ("ok", "green"), "hint": ("hint", "yellow"), "failed": ("FAILED", "red")}


def check(
    config: Config = None,
    round_trip: Annotated[
        bool,
        typer.Option("--round-trip", help="Also send one request and answer it with a worker of one slot, run here."),
    ] = False,
    probe_flow: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Also call this flow, once and really, with the body {}: may start a run. May be repeated.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Look at the settings, the identity, the queues and the rights before the worker starts.

    Calls no flow but those of --probe-flow, to see whether they take the worker's credentials.

    \b
    Example:
      flowbridge check --config flowbridge.toml

    Exit status: 0 all good, 1 something failed, bad settings too (each with what to do).
    """  # noqa: D301 - click keeps the lines of a paragraph after \b
    from worker import logs

    logs.configure("error")
    if probe_flow:
        typer.echo(f"Calls {', '.join(probe_flow)} with the body {{}}. This may start a run of each.", err=True)
    look = _check(config, round_trip=round_trip, probe_flows=probe_flow or [], as_json=as_json)
    raise typer.Exit(in_loop(look))


async def _check(config: Path | None, *, round_trip: bool, probe_flows: list[str], as_json: bool) -> int:
    from worker.cli.finding import Verdict
    from worker.cli.preflight import findings

    found = []
    async for finding in findings(config, round_trip=round_trip, probe_flows=probe_flows):
        found.append(finding)
        if not as_json:
            mark, colour = MARKS[finding.verdict]
            typer.echo(f"{typer.style(f'{mark:>6}', fg=colour)}  {finding.name}: {redact(finding.detail)}")
    is_good = all(finding.verdict is not Verdict.FAILED for finding in found)
    if as_json:
        typer.echo(redact(orjson.dumps({"ok": is_good, "findings": found}).decode()).encode())
    elif not is_good:
        failed = sum(finding.verdict is Verdict.FAILED for finding in found)
        typer.echo(f"{failed} of {len(found)} checks failed.", err=True)
    return 0 if is_good else OTHERWISE
