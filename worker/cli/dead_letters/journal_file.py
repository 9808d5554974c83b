"""The journal of a replay: a file that lines are only ever added to, by one replay at a time."""

import os
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from worker.cli.failure import CommandFailed
from worker.core.dead_letters.journal import Entry, Step, line_of, steps_in
from worker.core.decode import request_id_of
from worker.core.redelivery import Copy

# Before the dead letter is completed. What else is written survives a kill as it is; if the machine dies, too, a copy
# that was on its way may be sent once more, which duplicate detection is for.
_MUST_LAST: Final = Step.SENT


def steps_of(path: Path) -> dict[str, Step]:
    """Of earlier replays; none where there is no such file."""
    try:
        with path.open("rb") as lines:
            return steps_in(lines)
    except FileNotFoundError:
        return {}


class JournalFile:
    """Inside its `with`, which raises OSError where the file can't be written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1

    def __enter__(self) -> Self:
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

    def write(self, step: Step, copies: Iterable[Copy]) -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
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
            self._append(lines)
            if step is _MUST_LAST:
                os.fsync(self._file)

    def _append(self, lines: bytes) -> None:
        while lines:
            lines = lines[os.write(self._file, lines) :]


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
