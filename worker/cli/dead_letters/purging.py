"""`flowbridge dead-letters purge`: throw them away."""

import sys
from collections.abc import Collection
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
from worker.cli.dead_letters.words import counted, say, say_json
from worker.cli.failure import OTHERWISE, CommandFailed
from worker.cli.options import AsJson, Config, in_loop, settings_from
from worker.cli.process import INTERRUPTED
from worker.core.dead_letters.selection import Selection
from worker.settings import Settings


def purge(  # noqa: PLR0917 - typer's signature
    config: Config = None,
    queue: Queue = None,
    of_retry_queue: OfRetryQueue = False,
    reasons: Reasons = None,
    flows: Flows = None,
    ids: Ids = None,
    numbers: Numbers = None,
    most: Most = None,
    is_dry_run: DryRun = False,
    is_sure: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Throw dead letters away, for good. Asks first, unless told --yes.

    \b
    Examples:
      flowbridge dead-letters purge --config flowbridge.toml --reason Expired --dry-run
      flowbridge dead-letters purge --config flowbridge.toml --reason Expired --yes

    Exit status: 0 all gone, 1 something failed, 130 interrupted or not wanted after all.
    """  # noqa: D301 - click keeps the lines of a paragraph after \b
    from worker import logs

    logs.configure("error")
    place, selection = Place(queue=queue, is_retry_queue=of_retry_queue), selection_of(reasons, flows, ids, numbers)
    settings = settings_from(config, needs_flows=False)
    purging = _purge(settings, place, selection, most, is_dry_run=is_dry_run, is_sure=is_sure, as_json=as_json)
    raise typer.Exit(in_loop(purging))


async def _purge(
    settings: Settings,
    place: Place,
    selection: Selection,
    most: int | None,
    *,
    is_dry_run: bool,
    is_sure: bool,
    as_json: bool,
) -> int:
    from worker.cli.dead_letters.progress import bar, on_interrupt
    from worker.cli.dead_letters.source import bus_of, flows_of, name_of, seen, source_of, unreadable_sentence
    from worker.servicebus.clearing import LARGEST_WINDOW, Cleared, Clearing, Completing, lanes_for
    from worker.servicebus.dead_letters import dead_letters_of

    source = source_of(settings, place)
    async with bus_of(settings) as bus:
        found = await seen(bus, source, flows_of(settings), selection, most=most)
        chosen = [letter.sequence_number for letter in found.letters]
        cleared, is_interrupted = Cleared(), False
        if chosen and not is_dry_run:
            _ask(f"Throw {counted(len(chosen), 'dead letter')} of {source} away, for good?", is_sure=is_sure)
            with bar("purging", len(chosen)) as advance:
                clearing = Clearing(
                    bus,
                    dead_letters_of(source),
                    chosen=chosen,
                    work=Completing(advance),
                    lanes=lanes_for(len(chosen)),
                    window=LARGEST_WINDOW,
                    lock_s=settings.servicebus.lock_s,
                )
                with on_interrupt(clearing.stop) as interrupted:
                    cleared = await clearing.run()
                is_interrupted = interrupted.is_set()
    purged = len(cleared.completed)
    if as_json:
        say_json(
            {
                "queue": name_of(source),
                "dry_run": is_dry_run,
                "found": len(chosen),
                "purged": purged,
                "gone": len(cleared.gone),
                "left": len(cleared.left),
                "unreadable": found.unreadable,
                "failure": None if cleared.failure is None else str(cleared.failure),
                "interrupted": is_interrupted,
            }
        )
    else:
        if found.unreadable:
            say(unreadable_sentence(found.unreadable))
        if cleared.failure is not None:
            say(str(cleared.failure))
        say(_summary(len(chosen), purged, cleared.left, str(source), is_dry_run=is_dry_run, is_cut=is_interrupted))
    if is_interrupted:
        return INTERRUPTED
    return OTHERWISE if cleared.failure is not None or cleared.left else 0


def _summary(found: int, purged: int, left: Collection[int], source: str, *, is_dry_run: bool, is_cut: bool) -> str:
    of = f"of {counted(found, 'dead letter')} of {source}"
    if is_dry_run:
        return f"would purge all {of}; nothing was done"
    rest = f"; {len(left):,} left, which somebody else holds or which were not come to" if left else ""
    return f"{'interrupted: ' if is_cut else ''}purged {purged:,} {of}{rest}"


def _ask(question: str, *, is_sure: bool) -> None:
    """Raises typer.Abort, or CommandFailed where there is nobody to ask."""
    if is_sure:
        return
    if not sys.stdin.isatty():
        raise CommandFailed(f"{question} Nobody is there to ask, so nothing was done: say --yes.")
    typer.confirm(question, abort=True, err=True)
