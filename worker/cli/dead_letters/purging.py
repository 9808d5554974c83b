"""`flowbridge dead-letters purge`: throw them away."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

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

if TYPE_CHECKING:
    from worker.cli.dead_letters.source import Seen
    from worker.servicebus.connect import Source


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

    Exit status: 0 all gone, 1 something failed, 2 wrong options or settings, 130 interrupted or not wanted after all.
    """  # noqa: D301 - click keeps the lines of a paragraph after \b
    from worker import logs

    logs.configure("error")
    place, selection = Place(queue=queue, is_retry_queue=of_retry_queue), selection_of(reasons, flows, ids, numbers)
    settings = settings_from(config, needs_flows=False)
    # Asked between two loops: a loop takes Ctrl-C for itself, and can't act on it while a question blocks it.
    source, found = in_loop(_seen(settings, place, selection, most))
    done = Done()
    if found.letters and not is_dry_run:
        _ask(f"Throw {counted(len(found.letters), 'dead letter')} of {source} away, for good?", is_sure=is_sure)
        done = in_loop(_purged(settings, source, [letter.sequence_number for letter in found.letters]))
    if as_json:
        say_json(_facts(source, found, done, is_dry_run=is_dry_run))
    else:
        for line in _lines(source, found, done, is_dry_run=is_dry_run):
            say(line)
    raise typer.Exit(done.status)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """`gone`: taken out by somebody else; `left`: not come to."""

    purged: int = 0
    gone: int = 0
    left: int = 0
    failure: str | None = None
    is_interrupted: bool = False

    @property
    def status(self) -> int:
        if self.is_interrupted:
            return INTERRUPTED
        return OTHERWISE if self.failure is not None or self.left else 0


async def _seen(settings: Settings, place: Place, selection: Selection, most: int | None) -> "tuple[Source, Seen]":
    from worker.cli.dead_letters.source import bus_of, flows_of, say_hints, seen, source_of

    source = source_of(settings, place)
    async with bus_of(settings) as bus:
        found = await seen(bus, source, flows_of(settings), selection, most=most)
    say_hints(settings, selection, found)
    return source, found


async def _purged(settings: Settings, source: "Source", chosen: Sequence[int]) -> Done:
    from worker.cli.dead_letters.progress import bar, on_interrupt, said_contact
    from worker.cli.dead_letters.source import bus_of
    from worker.servicebus.clearing import LARGEST_WINDOW, Clearing, Completing, lanes_for
    from worker.servicebus.dead_letters import dead_letters_of

    async with bus_of(settings) as bus:
        with bar("purging", len(chosen)) as advance:
            clearing = Clearing(
                bus,
                dead_letters_of(source),
                chosen=chosen,
                work=Completing(advance),
                contact=said_contact(),
                lanes=lanes_for(len(chosen)),
                window=LARGEST_WINDOW,
                lock_s=settings.servicebus.lock_s,
            )
            with on_interrupt(clearing.stop) as interrupted:
                cleared = await clearing.run()
    return Done(
        purged=len(cleared.completed),
        gone=len(cleared.gone),
        left=len(cleared.left),
        failure=None if cleared.failure is None else str(cleared.failure),
        is_interrupted=interrupted.is_set(),
    )


def _facts(source: "Source", found: "Seen", done: Done, *, is_dry_run: bool) -> dict[str, Any]:
    """`would_purge`: in a dry run."""
    from worker.cli.dead_letters.source import name_of

    return {
        "queue": name_of(source),
        "dry_run": is_dry_run,
        "found": len(found.letters),
        "would_purge": len(found.letters) if is_dry_run else None,
        "purged": done.purged,
        "gone": done.gone,
        "left": done.left,
        "unreadable": found.unreadable,
        "failure": done.failure,
        "interrupted": done.is_interrupted,
    }


def _lines(source: "Source", found: "Seen", done: Done, *, is_dry_run: bool) -> list[str]:
    """The last one is the summary."""
    from worker.cli.dead_letters.source import unreadable_sentence

    of = f"of {counted(len(found.letters), 'dead letter')} of {source}"
    rest = f"; {done.left:,} left, which somebody else holds or which were not come to" if done.left else ""
    purged = f"{'interrupted: ' if done.is_interrupted else ''}purged {done.purged:,} {of}{rest}"
    return [
        *([unreadable_sentence(found.unreadable)] if found.unreadable else []),
        *([] if done.failure is None else [done.failure]),
        f"would purge all {of}; nothing was done" if is_dry_run else purged,
    ]


def _ask(question: str, *, is_sure: bool) -> None:
    """Raises typer.Exit where it isn't wanted, or CommandFailed where there is nobody to ask."""
    if is_sure:
        return
    if not sys.stdin.isatty():
        raise CommandFailed(f"{question} Nobody is there to ask, so nothing was done: say --yes.")
    try:
        is_wanted = typer.confirm(question, err=True)
    except typer.Abort:
        typer.echo(err=True)  # the cursor is still behind the question
        is_wanted = False
    if not is_wanted:
        say("Nothing was purged.", err=True)
        raise typer.Exit(INTERRUPTED)
