"""The search for an input that breaks a promise: guided by new lines, ended by time."""

import signal
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import FrameType
from typing import Final

from hypothesis import HealthCheck, Phase, given, seed, settings

import worker
from fuzz.guide import Guide
from fuzz.mutations import mutated
from fuzz.target import Target

LONGEST_CHECK_S: Final = 5.0  # of CPU: an input of some kilobytes takes milliseconds
_MADE_AT_ONCE: Final = 50
_MUTANTS_OF_ONE: Final = 20
_ROUNDS_BEFORE_MORE_ARE_MADE: Final = 40
_PRODUCT: Final = str(Path(worker.__file__).parent)


class DoesNotEnd(BaseException):
    """Not an Exception, or the code under test might take it for one of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """`kind`: the error and where it came from, by which two of the same are known."""

    kind: str
    data: bytes
    trace: str


def failure_of(target: Target, data: bytes) -> Failure | None:
    try:
        with _ended():
            target.check(data)
    except (Exception, DoesNotEnd) as error:  # noqa: BLE001 - whatever it is
        return Failure(kind=_kind(error), data=data, trace="".join(traceback.format_exception(error)))
    return None


class Search:
    """`executions`, `lines` and `kept` (inputs that reached new lines) are what it came to so far."""

    def __init__(self, target: Target, cases: Sequence[bytes], random: Random) -> None:
        self.executions = 0
        self._target = target
        self._random = random
        self._pool = list(cases)
        self._cases = len(cases)
        self._guide = Guide(target.covers)

    @property
    def lines(self) -> int:
        return self._guide.lines

    @property
    def kept(self) -> int:
        return len(self._pool) - self._cases

    def run(self, seconds: float) -> Iterator[Failure]:
        """Each kind of failure once."""
        ends_at = time.monotonic() + seconds
        told: set[str] = set()
        for data in self._inputs():
            failure = self._try(data)
            if failure is not None and failure.kind not in told:
                told.add(failure.kind)
                yield failure
            if time.monotonic() >= ends_at:
                return

    def _inputs(self) -> Iterator[bytes]:
        yield from self._pool[: self._cases]
        while True:
            yield from _made(self._target, self._random)
            for _ in range(_ROUNDS_BEFORE_MORE_ARE_MADE):
                base = self._choice()
                for _ in range(_MUTANTS_OF_ONE):
                    yield mutated(base, self._random, others=self._pool, tokens=self._target.tokens)

    def _choice(self) -> bytes:
        """What came last half of the time: nobody has looked around there yet."""
        if not self._pool:
            return b""
        newest = self._pool[-20:] if self._random.random() < 0.5 else self._pool
        return self._random.choice(newest)

    def _try(self, data: bytes) -> Failure | None:
        self.executions += 1
        before = self._guide.lines
        with self._guide.watching():
            failure = failure_of(self._target, data)
        if self._guide.lines > before and failure is None:
            self._pool.append(data)
        return failure


def _made(target: Target, random: Random) -> list[bytes]:
    made: list[bytes] = []

    @seed(random.getrandbits(64))
    @settings(
        max_examples=_MADE_AT_ONCE,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(target.made)
    def gather(data: bytes) -> None:
        made.append(data)

    gather()
    return made


@contextmanager
def _ended() -> Iterator[None]:
    def give_up(_signal: int, _frame: FrameType | None) -> None:
        raise DoesNotEnd(f"not done after {LONGEST_CHECK_S:g} s of CPU")

    before = signal.signal(signal.SIGVTALRM, give_up)
    signal.setitimer(signal.ITIMER_VIRTUAL, LONGEST_CHECK_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _kind(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if frame.filename.startswith(_PRODUCT)]
    place = (ours or frames)[-1]
    if isinstance(error, AssertionError):  # said by the check
        place = frames[-1]
    return f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}"
