"""`flowbridge check`: would the worker work here?"""

import shutil
import sys
import textwrap
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import orjson
import typer

from worker.cli.failure import OTHERWISE
from worker.cli.options import AsJson, Config, in_loop
from worker.core.redaction import redact

if TYPE_CHECKING:
    from worker.cli.finding import Finding, Section

MARGIN: Final = " " * 8
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
    roles: Annotated[
        bool, typer.Option("--roles", help="Also print the Azure CLI's command for each role that is needed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Look at the settings, the identity, the queues and the rights before the worker starts.

    Calls no flow but those of --probe-flow, to see whether they take the worker's credentials. Below what failed stands
    the command that mends it; what only you know is a <placeholder>.

    \b
    Examples:
      flowbridge check --config flowbridge.toml
      flowbridge check --config flowbridge.toml --roles

    Exit status: 0 all good, 1 something failed, bad settings too (each with what to do).
    """  # noqa: D301 - click keeps the lines of a paragraph after \b
    from worker import logs

    logs.configure("error")
    look = _check(config, round_trip=round_trip, probe_flows=probe_flow or [], shows_commands=roles, as_json=as_json)
    raise typer.Exit(in_loop(look))


async def _check(
    config: Path | None, *, round_trip: bool, probe_flows: list[str], shows_commands: bool, as_json: bool
) -> int:
    from worker.cli.finding import Verdict
    from worker.cli.preflight.sections import sections

    found: list[tuple[str, Finding]] = []
    shown: set[str] = set()
    looked_at = sections(
        config, round_trip=round_trip, probe_flows=probe_flows, announce=_announce, shows_commands=shows_commands
    )
    async for section in looked_at:
        found += [(section.title, finding) for finding in section.findings]
        if not as_json:
            _show(section, shown)
    failed = sum(finding.verdict is Verdict.FAILED for _, finding in found)
    if as_json:
        findings = [{"section": title, **asdict(finding)} for title, finding in found]
        typer.echo(redact(orjson.dumps({"ok": failed == 0, "findings": findings}).decode()).encode())
    elif failed:
        typer.echo(f"{failed} of {len(found)} checks failed.", err=True)
    else:
        hints = sum(finding.verdict is Verdict.HINT for _, finding in found)
        typer.echo(f"All is well: {len(found)} checks, {hints} hints.", err=True)
    return 0 if failed == 0 else OTHERWISE


def _announce(flows: Iterable[str]) -> None:
    typer.echo(f"Calls {', '.join(flows)} with the body {{}}. This may start a run of each.", err=True)


def _show(section: "Section", shown: set[str]) -> None:
    """`shown`: commands that stand further up; one that mends several failures is shown once."""
    if section.findings:
        typer.echo(typer.style(section.title, bold=True))
    for finding in section.findings:
        mark, colour = MARKS[finding.verdict]
        typer.echo(f"{typer.style(f'{mark:>6}', fg=colour)}  {_wrapped(f'{finding.name}: {redact(finding.detail)}')}")
        mend = finding.mend or ""
        for line in ["(the command above)"] if mend in shown else mend.splitlines():
            typer.echo(f"{MARGIN}{typer.style(redact(line), fg='cyan')}")
        if mend:
            shown.add(mend)


def _wrapped(text: str) -> str:
    """For a person's screen. What goes elsewhere stays a line each, and so does every command, to be copied."""
    if not sys.stdout.isatty():
        return text
    width = max(40, shutil.get_terminal_size().columns - len(MARGIN))
    return f"\n{MARGIN}".join(textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False))
