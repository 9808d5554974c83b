"""`flowbridge dead-letters replay`: send them again, then complete them."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from worker.cli.dead_letters.options import (
    DryRun,
    Flows,
    Ids,
    Most,
    Numbers,
    OfRetryQueue,
    Place,
    Queue,
    Reasons,
    selection_of,
)
from worker.cli.dead_letters.replay_asked import EVEN_IF_IT_RAN, Asked
from worker.cli.dead_letters.words import say, say_json
from worker.cli.options import AsJson, Config, in_loop, settings_from
from worker.settings import Settings


def replay(  # noqa: PLR0917 - typer's signature
    config: Config = None,
    queue: Queue = None,
    of_retry_queue: OfRetryQueue = False,
    reasons: Reasons = None,
    flows: Flows = None,
    ids: Ids = None,
    numbers: Numbers = None,
    most: Most = None,
    to_flow: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Name this flow in each, for where no route decides. [default: as it was]"),
    ] = None,
    rate: Annotated[float | None, typer.Option(metavar="N", help="At most N a second. [default: no limit]")] = None,
    even_if_it_ran: Annotated[
        bool, typer.Option(EVEN_IF_IT_RAN, help="Also where a run of a flow that isn't idempotent may have begun.")
    ] = False,
    journal: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="What was done, for the next replay. [default: flowbridge-replay-QUEUE.jsonl]"
        ),
    ] = None,
    is_dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Send dead letters to the request queue again, each as a fresh request, and complete them once that has them.

    A copy keeps all that its sender said, and the id of the first message as its request id and idempotency key.
    Where a run may have begun (FlowIndeterminate, FlowRefused and ReplyUndeliverable with a run, anything unknown) a
    request for a flow that isn't idempotent stays. Killed or cut off, the same command goes on where it stopped, by
    its journal. Only what is there at the start is replayed, not what dies of it; that is for the next replay.

    \b
    Examples:
      flowbridge dead-letters replay --config flowbridge.toml --reason FlowUnavailable --dry-run
      flowbridge dead-letters replay --config flowbridge.toml --reason FlowUnavailable --rate 20
      flowbridge dead-letters replay --message-id 9f3c6a1e-7a1e-4a53-8a5a-6a7b1f0f2d11 --even-if-it-ran

    Exit status: 0 all done or skipped, 1 something failed, 2 wrong options or settings, 130 interrupted.
    """  # noqa: D301 - click keeps the lines of a paragraph after \b
    from worker import logs

    logs.configure("error")
    if rate is not None and not 0 < rate < float("inf"):
        raise typer.BadParameter(f"expected a positive number, got {rate:g}", param_hint="--rate")
    place = Place(queue=queue, is_retry_queue=of_retry_queue)
    settings = settings_from(config, needs_flows=False)
    known = settings.flow_specs()
    if to_flow is not None and known and to_flow not in known:
        raise typer.BadParameter(f"there is no flow {to_flow!r}; there are: {', '.join(known)}", param_hint="--to-flow")
    asked = Asked(
        selection=selection_of(reasons, flows, ids, numbers),
        most=most,
        to_flow=to_flow,
        rate_per_s=rate,
        even_if_it_ran=even_if_it_ran,
        journal=journal,
        is_dry_run=is_dry_run,
        as_json=as_json,
    )
    raise typer.Exit(in_loop(_replay(settings, place, asked)))


async def _replay(settings: Settings, place: Place, asked: Asked) -> int:
    from worker.cli.dead_letters.journal_file import JournalFile, history_of
    from worker.cli.dead_letters.replay_report import Done, Report
    from worker.cli.dead_letters.replay_run import carried_out, planned_now, target_of
    from worker.cli.dead_letters.source import bus_of, flows_of, name_of, say_hints, seen, source_of

    source, to = source_of(settings, place), target_of(settings, place)
    path = asked.journal or Path(f"flowbridge-replay-{name_of(source).replace('/', '-')}.jsonl")
    async with bus_of(settings) as bus:
        found = await seen(bus, source, flows_of(settings), asked.selection, to_flow=asked.to_flow)
        say_hints(settings, asked.selection, found)
        # Opened before it is read: another replay may be writing to it.
        is_idle = asked.is_dry_run or not (found.letters or path.exists())
        with nullcontext() if is_idle else JournalFile(path) as journal:
            history, done = history_of(path), Done()
            plan = await planned_now(bus, found, history, to=to, asked=asked)
            if journal is not None and (plan.chosen or plan.sent or str(asked.selection) in history.unfinished):
                done = await carried_out(bus, settings, source, plan, to=to, journal=journal, asked=asked)
    report = Report(source=source, to=to, found=found, plan=plan, done=done, journal=path, asked=asked)
    if asked.as_json:
        say_json(report.facts())
    else:
        for line in report.lines():
            say(line)
    return report.status
