"""Schedules: a scene, and what happens in it when. Drawn as a few short strings of bytes, because that is quick.

A byte chooses from a tuple, so zeros are the simplest there is, and a shrunk schedule has few happenings of few
peculiarities. What it means is read from its transcript.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final, TypeAlias, TypeVar

from hypothesis import strategies as st

from worker.core.failures import BusUnreachable, Misconfigured
from worker.core.outcome import FlowOutcome, HeldBack, Running, Unavailable
from worker.core.reply import Undelivered

from .fake_queue import BROKER
from .ledger import Ask
from .simulated_worker import DEFECT, LATE, NOT_HERE, SimulatedWorker
from .simulation import Simulation
from .world import ANSWERED, EXPIRED, INDETERMINATE, REFUSED, RISKY, RUNNING, SAFE, UNAVAILABLE, WARY

T = TypeVar("T")

Schedule: TypeAlias = tuple[bytes, Sequence[bytes], Sequence[bytes]]  # the scene, what is asked, what goes wrong

FAULTS_END_S: Final = 25.0
_BYTES: Final = 10  # of one happening
_MOST_ASKED: Final = 5
_MOST_FAULTS: Final = 5
_BY_TIME: Final = 96  # of 256: the other faults come with something that a worker does
_TOO_LARGE: Final = Undelivered(detail="above the limit", is_too_large=True)
_HELD_BACK: Final = Unavailable(detail="No token.", attempts=0, retry_after_s=3.0, held_back=HeldBack.TOKEN)

FLOWS: Final = {flow.name: flow for flow in (RISKY, WARY, SAFE)}
ENDINGS: Final[dict[str, FlowOutcome | Running | Exception]] = {
    "answered": ANSWERED,
    "in doubt": INDETERMINATE,
    "accepted": RUNNING,
    "unavailable": UNAVAILABLE,
    "refused": REFUSED,
    "held back": _HELD_BACK,
    "expired": EXPIRED,
    "our defect": DEFECT,
}
REPLIES_SAY: Final[dict[str, Undelivered | Exception | None]] = {
    "accepted": None,
    "unheard": LATE,
    "too large": _TOO_LARGE,
    "no queue": NOT_HERE,
    "our defect": DEFECT,
}
FAILURES: Final = (BusUnreachable("reset"), Misconfigured("no such queue"))

_ENDINGS: Final = tuple(ENDINGS.values())
_REPLIES_SAY: Final = (None, None, *REPLIES_SAY.values())

schedules: Final[st.SearchStrategy[Schedule]] = st.tuples(
    st.binary(min_size=8, max_size=8),
    st.lists(st.binary(min_size=_BYTES, max_size=_BYTES), min_size=1, max_size=_MOST_ASKED),
    st.lists(st.binary(min_size=_BYTES, max_size=_BYTES), max_size=_MOST_FAULTS),
)


def run(schedule: Schedule, *, is_ordered: bool = False) -> Simulation:
    """Raises `LawBrokenError`."""
    scene, asked, faults = schedule
    sessions = _of((2, 1, 3), scene[5]) if is_ordered else 0
    simulation = Simulation(
        posts=_of((1, 2, 3), scene[0]),
        lanes=_of((1, 2), scene[1]),
        concurrency=_of((4, 1, 2, 8), scene[2]),
        lock_s=_of((20.0, 5.0), scene[3]),
        drops_repeats=_of((True, False), scene[4]),
        is_ordered=is_ordered,
    )
    try:
        for one in asked:
            simulation.at(one[0] / 16, partial(simulation.send, _ask(one, sessions)))
        _Faults(simulation, faults)
        simulation.advance(FAULTS_END_S)
        simulation.settle_down()
    finally:
        simulation.close()
    return simulation


class _Faults:
    """Some come at their time; the others with the nth thing that any worker does, and mostly to that one."""

    def __init__(self, simulation: Simulation, faults: Sequence[bytes]) -> None:
        self._simulation = simulation
        self._happened = 0
        self._waiting: dict[int, list[bytes]] = {}
        for one in faults:
            if one[0] < _BY_TIME:
                simulation.at(one[0] / 6, partial(_strike, simulation, one, one[2]))
            else:
                self._waiting.setdefault((one[0] - _BY_TIME) // 2, []).append(one)
        if self._waiting:
            simulation.watches = self._count

    def _count(self, worker: SimulatedWorker) -> None:
        """Whatever it does, the worker is at one of its awaits when it is struck."""
        for one in self._waiting.get(self._happened, ()):
            posts = self._simulation.posts
            post = posts.index(worker) if worker in posts else one[2]
            self._simulation.loop.call_soon(partial(_strike, self._simulation, one, post), context=BROKER)
        self._happened += 1


def _ask(one: bytes, sessions: int) -> Ask:
    return Ask(
        session=f"s-{one[2] // 2 % sessions + 1}" if sessions else None,
        flow=_of(tuple(FLOWS.values()), one[1]),
        has_caller=_of((True, False), one[2]),
        timeout_s=_of((90.0, 12.0), one[3]),
        takes_s=_of((0.5, 0.0, 5.0, 15.0), one[3] // 2),
        in_line_s=_of((0.0, 0.0, 3.0), one[3] // 8),
        endings=tuple(_of(_ENDINGS, byte) for byte in one[4 : 5 + one[7] % 3]),
        reply_takes_s=_of((0.2, 0.0, 5.0), one[7] // 3),
        reply_says=tuple(_of(_REPLIES_SAY, byte) for byte in one[8:10]),
    )


def _strike(simulation: Simulation, one: bytes, post: int) -> None:
    _of(_FAULTS_IN_ORDER if simulation.is_ordered else _FAULTS, one[1])(simulation, one, post)


def _kill(simulation: Simulation, one: bytes, post: int) -> None:
    simulation.kill(post, is_heard=_of((False, True), one[3]))
    simulation.after(_of((0.5, 0.0, 8.0, 40.0), one[4]), partial(simulation.start, post))


def _kill_one_after_the_other(simulation: Simulation, one: bytes, post: int) -> None:
    """And then strike whoever accepts a session next, before that can do anything in it."""
    _kill(simulation, one, post)
    simulation.strike_next_holder(partial(_of((_stop, _pause, _kill), one[5]), simulation, one))


def _stop(simulation: Simulation, one: bytes, post: int) -> None:
    simulation.stop(post)
    simulation.after(_of((0.5, 0.0, 8.0, 40.0), one[4]), partial(simulation.start, post))


def _lose_lock(simulation: Simulation, one: bytes, _post: int) -> None:
    simulation.lose_lock(one[3])


def _break_link(simulation: Simulation, one: bytes, post: int) -> None:
    applies = _of((False, True), one[3])
    is_noticed = _of((False, True), one[7])
    lane = simulation.break_link(
        post, one[4], _of(FAILURES, one[5]), applies_unconfirmed=applies, is_noticed=is_noticed
    )
    if lane is not None:
        simulation.after(_of((0.1, 2.0, 15.0), one[6]), partial(simulation.restore_link, lane))


def _leave_unconfirmed(simulation: Simulation, one: bytes, _post: int) -> None:
    simulation.leave_unconfirmed(_of((1, 2, 4), one[3]))


def _freeze(simulation: Simulation, one: bytes, post: int) -> None:
    worker = simulation.freeze(post)
    if worker is not None:
        simulation.after(_of((6.0, 1.0, 25.0), one[3]), worker.thaw)


def _pause(simulation: Simulation, one: bytes, post: int) -> None:
    simulation.pause(post, is_paused=True)
    simulation.after(_of((3.0, 9.0), one[3]), partial(simulation.pause, post, is_paused=False))


def _send_replies_away(simulation: Simulation, one: bytes, _post: int) -> None:
    simulation.send_replies_away(_of((3.0, 40.0), one[3]))


def _say_of_copies(simulation: Simulation, one: bytes, _post: int) -> None:
    simulation.say_of_copies(_of((LATE, NOT_HERE), one[3]))
    simulation.after(_of((3.0, 9.0), one[4]), partial(simulation.say_of_copies, None))


_FAULTS: Final = (
    _kill,
    _lose_lock,
    _freeze,
    _break_link,
    _leave_unconfirmed,
    _stop,
    _say_of_copies,
    _send_replies_away,
    _pause,
)
_FAULTS_IN_ORDER: Final = (
    _kill,
    _lose_lock,
    _freeze,
    _break_link,
    _kill_one_after_the_other,
    _leave_unconfirmed,
    _stop,
    _send_replies_away,
    _kill_one_after_the_other,
    _pause,
)


def _of(options: Sequence[T], byte: int) -> T:
    return options[byte % len(options)]
