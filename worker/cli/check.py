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
    as_json: AsJson = False,
) -> None:
    """Look at the settings, the identity, the queues and the rights before the worker starts; calls no flow.

    \b
    Example:
      flowbridge check --config flowbridge.toml

    Exit status: 0 all good, 1 something failed, bad settings too (each with what to do).
    """  # noqa: D301 - click keeps the lines of a paragraph after \b
    from worker import logs

    logs.configure("error")
    raise typer.Exit(in_loop(_check(config, round_trip=round_trip, as_json=as_json)))


async def _check(config: Path | None, *, round_trip: bool, as_json: bool) -> int:
    from worker.cli.preflight import Verdict, findings

    found = []
    async for finding in findings(config, round_trip=round_trip):
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
