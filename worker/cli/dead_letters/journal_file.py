"""The journal of a replay: a file that lines are only ever added to, by one replay at a time."""

import contextlib
import os
import stat
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from worker.cli.failure import CommandFailed
from worker.core.dead_letters.journal import Entry, History, Mark, Step, begins_journal, history_in, line_of, mark_line
from worker.core.decode import request_id_of
from worker.core.redelivery import Copy

# Before the dead letter is completed. What else is written survives a kill as it is; if the machine dies, too, a copy
# that was on its way may be sent once more, which duplicate detection is for.
_MUST_LAST: Final = Step.SENT


_FIRST_LINE_BYTES: Final = 1024


class JournalUnwritable(CommandFailed):
    """Once a replay is under way."""

    def __init__(self, path: Path, why: OSError) -> None:
        super().__init__(
            f"The journal {path} can't be written: {why.strerror or why}. Make room for it, or move it and name its "
            "new place with --journal; then the same command goes on."
        )


def history_of(path: Path) -> History:
    """Of earlier replays; empty where there is no such file. Raises CommandFailed where it is no journal."""
    try:
        _check(path)
        with path.open("rb") as lines:
            return history_in(lines)
    except FileNotFoundError:
        return History()


class JournalFile:
    """Inside its `with`, which raises OSError where the file can't be opened, and CommandFailed where it is something
    else; what writes raises JournalUnwritable.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1

    def __enter__(self) -> Self:
        with contextlib.suppress(FileNotFoundError):
            _check(self._path)
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            _lock(self._file, self._path)
            if _is_cut_short(self._file):
                self._append(b"\n")
            _keep_name(self._path)
        except BaseException:
            os.close(self._file)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if os.fstat(self._file).st_size == 0:
            self._path.unlink()
        os.close(self._file)

    def mark(self, mark: Mark, asked: str) -> None:
        self._append(mark_line(mark, asked, _now()))

    def write(self, step: Step, copies: Iterable[Copy]) -> None:
        at = _now()
        lines = b"".join(
            line_of(
                Entry(
                    step=step,
                    copy_id=copy.message_id,
                    sequence_number=copy.original.sequence_number,
                    request_id=request_id_of(copy.original),
                    at=at,
                )
            )
            for copy in copies
        )
        if lines:
            self._append(lines, must_last=step is _MUST_LAST)

    def _append(self, lines: bytes, *, must_last: bool = False) -> None:
        try:
            while lines:
                lines = lines[os.write(self._file, lines) :]
            if must_last:
                os.fsync(self._file)
        except OSError as why:
            raise JournalUnwritable(self._path, why) from why


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _check(path: Path) -> None:
    """Before anything is read to its end, or written to: it may have none, or be somebody's settings."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise CommandFailed(f"{path} is no regular file, so it can't be a journal. Name another one with --journal.")
    with path.open("rb") as file:
        first = file.readline(_FIRST_LINE_BYTES)
    if first and not begins_journal(first):
        raise CommandFailed(
            f"{path} is not empty and not the journal of a replay, so nothing was added to it. Name another file with "
            "--journal, one that doesn't exist yet or a journal."
        )


def _lock(file: int, path: Path) -> None:
    """Two replays with one journal would each send what the other has only begun to."""
    if sys.platform == "win32":
        return
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise CommandFailed(
            f"Another replay is writing to {path}. Wait for its end; two at once need journals of their own "
            "(--journal), and letters of their own (--reason, --flow), or both send the same."
        ) from None


def _is_cut_short(file: int) -> bool:
    """By a kill: the next line must not go on with this one."""
    size = os.fstat(file).st_size
    return size > 0 and os.pread(file, 1, size - 1) != b"\n"


def _keep_name(path: Path) -> None:
    """A new file's name is in its directory, which lasts by itself."""
    if sys.platform == "win32":
        return
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
