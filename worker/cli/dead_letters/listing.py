"""`flowbridge dead-letters list`: what lies there, by reason and flow."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.cli.dead_letters.options import (
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
from worker.cli.dead_letters.words import counted, moment, say, say_json, short, table, width
from worker.cli.options import AsJson, Config, in_loop, settings_from
from worker.core.dead_letters.groups import Group, grouped
from worker.core.dead_letters.letter import Letter
from worker.core.dead_letters.selection import Selection
from worker.settings import Settings

if TYPE_CHECKING:
    from worker.cli.dead_letters.source import Seen

_DESCRIPTION_CHARACTERS = 60
_ID_CHARACTERS = 40


def list_letters(  # noqa: PLR0917 - typer's signature
    config: Config = None,
    queue: Queue = None,
    of_retry_queue: OfRetryQueue = False,
    reasons: Reasons = None,
    flows: Flows = None,
    ids: Ids = None,
    numbers: Numbers = None,
    most: Most = None,
    with_rows: Annotated[bool, typer.Option("--rows", help="Each of them too, oldest first.")] = False,
    as_json: AsJson = False,
) -> None:
    """Count the dead letters by reason and flow, with the oldest and newest of each. Locks and changes nothing.

    \b
    Examples:
      flowbridge dead-letters list --config flowbridge.toml
      flowbridge dead-letters list --reason FlowUnavailable --flow credit-check --rows --max 20

    Times are when the message was put on its queue, in UTC. A table is cut to a terminal's width, not when piped.

    Exit status: 0, also where there are none; 1 where they can't be read, 2 wrong options or settings.
    """  # noqa: D301 - click keeps the lines of a paragraph after \b
    from worker import logs

    logs.configure("error")
    place, selection = (
        Place(queue=queue, is_retry_queue=of_retry_queue),
        selection_of(reasons, flows, ids, numbers),
    )
    settings = settings_from(config, needs_flows=False)
    in_loop(_list(settings, place, selection, most, with_rows=with_rows, as_json=as_json))


async def _list(
    settings: Settings, place: Place, selection: Selection, most: int | None, *, with_rows: bool, as_json: bool
) -> None:
    from worker.cli.dead_letters.source import (
        bus_of,
        flows_of,
        name_of,
        say_hints,
        seen,
        source_of,
        unreadable_sentence,
    )

    source = source_of(settings, place)
    async with bus_of(settings) as bus:
        found = await seen(bus, source, flows_of(settings), selection, most=most)
    say_hints(settings, selection, found)
    groups = grouped(found.letters)
    if as_json:
        say_json(_facts(name_of(source), found, groups, with_rows=with_rows))
        return
    say(f"{counted(len(found.letters), 'dead letter')} of {source}")
    for line in _group_lines(groups) if groups else []:
        say(line)
    for line in _row_lines(found.letters) if with_rows and groups else []:
        say(line)
    if found.unreadable:
        say(unreadable_sentence(found.unreadable), err=True)


def _facts(queue: str, found: "Seen", groups: Sequence[Group], *, with_rows: bool) -> dict[str, Any]:
    rows = {"rows": [row_facts(letter) for letter in found.letters]} if with_rows else {}
    return {
        "queue": queue,
        "count": len(found.letters),
        "unreadable": found.unreadable,
        "groups": [
            {
                "reason": group.reason,
                "flow": group.flow,
                "count": group.count,
                "oldest": moment(group.oldest_ms),
                "newest": moment(group.newest_ms),
            }
            for group in groups
        ],
        **rows,
    }


def row_facts(letter: Letter) -> dict[str, Any]:
    return {
        "sequence_number": letter.sequence_number,
        "message_id": letter.message_id,
        "request_id": letter.request_id,
        "enqueued": moment(letter.enqueued_time_ms),
        "reason": letter.reason,
        "description": letter.description,
        "flow": letter.flow,
        "one_way": letter.is_one_way,
        "may_have_run": letter.may_have_run,
        "body_bytes": letter.size_bytes,
    }


def _group_lines(groups: Sequence[Group]) -> list[str]:
    rows = [
        (
            f"{group.count:,}",
            short(group.reason, _ID_CHARACTERS),
            short(group.flow, _ID_CHARACTERS),
            moment(group.oldest_ms),
            moment(group.newest_ms),
        )
        for group in groups
    ]
    return table(("count", "reason", "flow", "oldest", "newest"), rows, cut=(1, 2), width=width())


def _row_lines(letters: Sequence[Letter]) -> list[str]:
    rows = [
        (
            str(letter.sequence_number),
            moment(letter.enqueued_time_ms),
            short(letter.reason, _ID_CHARACTERS),
            short(letter.flow, _ID_CHARACTERS),
            short(letter.message_id, _ID_CHARACTERS),
            short(letter.description, _DESCRIPTION_CHARACTERS),
        )
        for letter in letters
    ]
    return table(
        ("number", "enqueued", "reason", "flow", "message id", "description"), rows, cut=(2, 3, 4, 5), width=width()
    )
