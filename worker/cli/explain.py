"""`flowbridge explain`: one request's story, from the log."""

import gzip
import json
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from io import BufferedReader, FileIO
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final, cast

import typer

from worker.cli.options import AsJson
from worker.core.redaction import redact
from worker.core.story.search import Found, MatchedBy, Search, Searched, Wanted
from worker.core.story.story import Story, story_of
from worker.core.story.telling import clock, day, stamp

NOT_FOUND: Final = 1
_STDIN: Final = "-"
_GZIP: Final = b"\x1f\x8b"
_LONGEST_LINE_BYTES: Final = 1 << 20
_READ_BYTES: Final = 1 << 20


def explain(
    identifier: Annotated[
        str, typer.Argument(metavar="REQUEST-ID", help="Or a correlation id, sequence number, run id or trace id.")
    ],
    *,
    logs: Annotated[
        list[str] | None,
        typer.Option("--log", metavar="FILE", help="JSON lines, also in gzip; - for stdin; may be repeated."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell what became of one request and why, from the log of the workers. Calls nobody.

    \b
    Example:
      kubectl logs -l app.kubernetes.io/name=flowbridge --prefix --tail=-1 |
        flowbridge explain 9f3c6a1e-7a1e-4a53-8a5a-6a7b1f0f2d11
      flowbridge explain 9f3c6a1e-7a1e-4a53-8a5a-6a7b1f0f2d11 --log worker.log --log worker.log.1.gz

    Exit status: 0 found, 1 not found.
    """  # noqa: D301 - click keeps the lines of a paragraph after \b
    if not identifier:
        raise typer.BadParameter("expected an id, got nothing", param_hint="REQUEST-ID")
    search = Search(Wanted(identifier))
    for name in _named(logs or []):
        _read(name, search, is_one_of_many=len(logs or []) > 1)
    told, others = _told_and_others(search)
    stories = [story_of(found, search.around) for found in told]
    if as_json:
        typer.echo(redact(json.dumps(_document(stories, others, search.searched))))
    for line in _lines(stories, others) if not as_json else ():
        typer.echo(redact(line if line.isprintable() else repr(line)[1:-1]))
    if not stories:
        typer.echo(f"flowbridge: {redact(_not_found(identifier, search.searched))}", err=True)
        raise typer.Exit(NOT_FOUND)


def _named(logs: Sequence[str]) -> Sequence[str]:
    if not logs and sys.stdin.isatty():
        raise typer.BadParameter("expected --log FILE, or a log on stdin, got neither", param_hint="--log")
    return logs or [_STDIN]


def _read(name: str, search: Search, *, is_one_of_many: bool) -> None:
    """What breaks off is told of, and what came before it counts."""
    file = Path(name).name if is_one_of_many and name != _STDIN else None
    try:
        with _opened(name) as log:
            search.read(iter(partial(log.readline, _LONGEST_LINE_BYTES), b""), file=file)
    except (EOFError, zlib.error, gzip.BadGzipFile) as broken:
        typer.echo(
            f"flowbridge: {name} ends within its compressed data ({broken}); what came before was read.", err=True
        )
    except OSError as failed:
        raise typer.BadParameter(f"{name} can't be read: {failed.strerror}", param_hint="--log") from None


@contextmanager
def _opened(name: str) -> Iterator[BinaryIO]:
    """Its lines, whether compressed or not."""
    is_stdin = name == _STDIN
    raw = FileIO(sys.stdin.fileno() if is_stdin else name, closefd=not is_stdin)
    with BufferedReader(raw, _READ_BYTES) as log:
        if log.peek(len(_GZIP)).startswith(_GZIP):
            with gzip.open(log) as unpacked:
                yield cast("BinaryIO", unpacked)
        else:
            yield log


def _told_and_others(search: Search) -> tuple[list[Found], list[str]]:
    """The id is taken for what it most likely is; `others`: requests that it also is something of, by their ids."""
    found = list(search.requests.values())
    best = next((each for each in MatchedBy if any(one.matched_by is each for one in found)), None)
    others = [one.request_id for one in found if one.matched_by is not best]
    return [one for one in found if one.matched_by is best], [*others, *sorted(search.requests_left_out)]


def _lines(stories: Sequence[Story], others: Sequence[str]) -> Iterator[str]:
    for index, story in enumerate(stories):
        if index:
            yield ""
        yield from _story_lines(story)
    if others:
        yield ""
        yield f"Also of requests {', '.join(others)}."


def _story_lines(story: Story) -> Iterator[str]:
    yield story.headline
    if story.matched_by is not MatchedBy.REQUEST_ID:
        whole = (
            "" if story.matched_by is MatchedBy.CORRELATION_ID else "; explain its request id for all of its deliveries"
        )
        yield f"(Found by its {story.matched_by.replace('_', ' ')}{whole}.)"
    last_day = None
    for moment in story.moments:
        if day(moment.at) != last_day:
            last_day = day(moment.at)
            yield f"{last_day}, UTC:"
        yield f"  {clock(moment.at)}  {moment.text}"
    if story.left_out:
        yield f"  … and {story.left_out} more events"
    if story.why:
        yield f"Why: {' '.join(story.why)}"
    yield f"What to do: {story.to_do}"


def _document(stories: Sequence[Story], others: Sequence[str], searched: Searched) -> dict[str, Any]:
    """Times as ISO 8601, in UTC."""
    first_at, last_at = searched.first_at, searched.last_at
    return {
        "requests": [
            {
                **asdict(story),
                "leaving": None if story.leaving is None else story.leaving.name.lower(),
                "moments": [{"at": stamp(moment.at), "text": moment.text} for moment in story.moments],
            }
            for story in stories
        ],
        "others": others,
        "searched": {
            **asdict(searched),
            "first_at": None if first_at is None else stamp(first_at),
            "last_at": None if last_at is None else stamp(last_at),
        },
    }


def _not_found(identifier: str, searched: Searched) -> str:
    where = f"in {searched.lines:,} lines"
    if searched.first_at is not None and searched.last_at is not None:
        where += f" from {stamp(searched.first_at)} to {stamp(searched.last_at)}"
    if searched.styled:
        return (
            f"{identifier} is named {where}, but they are a terminal's. Log JSON: that is what is written wherever "
            "stderr isn't a terminal."
        )
    if searched.torn:
        return (
            f"{identifier} is named {where}, but in none that is a whole event of a worker ({searched.torn} unread). "
            "Give the log as it was written, one JSON object a line."
        )
    if searched.first_at is None:
        return f"There is no event of a worker {where}. Give the log as it was written, one JSON object a line."
    return (
        f"No event names {identifier} {where}. It may be in the log of another worker or from another time, still wait "
        "in the queue, or have ended well at a log level above info."
    )
