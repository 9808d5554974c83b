"""What is done on purpose: each harm at its trigger's next occasion, and undone when the round's load is over."""

import asyncio
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from chaos.evidence import REPLIES, REQUESTS
from chaos.plan import Kind, PlannedHarm, Trigger
from chaos.records import Harm
from chaos.stage import ISSUES, Stage
from chaos.workers import Worker

from worker.emulator.faults import Faults
from worker.emulator.standins import Issue, Refuse

OF_ALL: Final = frozenset({Kind.AWAY, Kind.TOKENS_REFUSED, Kind.TOKENS_LATE, Kind.FLOWS_DOWN})
FATAL: Final = frozenset({Kind.KILL, Kind.TERM, Kind.TERM_TWICE})
HURRIED_S: Final = 1.0
COPIES: Final = "copies"  # their sender's link is on the request queue too, but no lane's
LATE_S: Final = 2.0
AGAIN_S: Final = 0.2
PATIENCE_S: Final = 6.0  # for an occasion that doesn't come: then it is done all the same


def _make_lanes_busy(faults: Faults, by: str) -> None:
    faults.refuse_attaches(REQUESTS, times=8, key_name=by)
    faults.cut_connections(entity=REQUESTS, key_name=by)


def _cut_before_a_reply(faults: Faults, by: str) -> None:
    faults.refuse_sends(REPLIES, times=1, key_name=by)
    faults.cut_connections(entity=REPLIES, key_name=by)


# On which entity's links, and how, to the worker of that name. None: on all its links.
TO_CONNECTIONS: Final[dict[Kind, tuple[str | None, Callable[[Faults, str], object]]]] = {
    Kind.RESET: (None, lambda faults, by: faults.cut_connections(key_name=by)),
    Kind.CLOSE: (None, lambda faults, by: faults.cut_connections(key_name=by, resets=False)),
    Kind.RESET_REQUESTS: (REQUESTS, lambda faults, by: faults.cut_connections(entity=REQUESTS, key_name=by)),
    Kind.RESET_REPLIES: (REPLIES, lambda faults, by: faults.cut_connections(entity=REPLIES, key_name=by)),
    Kind.DETACH_REQUESTS: (REQUESTS, lambda faults, by: faults.detach_links(REQUESTS, key_name=by)),
    Kind.DETACH_REPLIES: (REPLIES, lambda faults, by: faults.detach_links(REPLIES, key_name=by)),
    Kind.BUSY_REPLIES: (REPLIES, lambda faults, by: faults.refuse_sends(REPLIES, times=3, key_name=by)),
    Kind.BUSY_COPIES: (COPIES, lambda faults, by: faults.refuse_sends(REQUESTS, times=3, key_name=by)),
    Kind.BUSY_LANES: (REQUESTS, _make_lanes_busy),
    Kind.CUT_AFTER_REPLY: (REPLIES, lambda faults, by: faults.cut_after_sends(REPLIES, times=1, key_name=by)),
    Kind.CUT_AFTER_COPY: (COPIES, lambda faults, by: faults.cut_after_sends(REQUESTS, times=1, key_name=by)),
    Kind.CUT_BEFORE_REPLY: (REPLIES, _cut_before_a_reply),
    Kind.SETTLEMENT_LOST: (REQUESTS, lambda faults, by: faults.drop_dispositions(REQUESTS, times=1, key_name=by)),
    Kind.SETTLEMENT_LATE: (
        REQUESTS,
        lambda faults, by: faults.delay_dispositions(REQUESTS, delay_s=LATE_S, times=2, key_name=by),
    ),
    Kind.CONFIRMATION_LOST: (REQUESTS, lambda faults, by: faults.drop_answers(REQUESTS, times=1, key_name=by)),
    Kind.CUT_AFTER_SETTLEMENT: (
        REQUESTS,
        lambda faults, by: faults.cut_after_dispositions(REQUESTS, times=1, key_name=by),
    ),
    Kind.CUT_AFTER_RENEWAL: (REQUESTS, lambda faults, by: faults.cut_after_renewals(REQUESTS, times=1, key_name=by)),
}


@dataclass(slots=True, kw_only=True)
class Harms:
    """Of one round. `done` in order."""

    stage: Stage
    done: list[Harm] = field(default_factory=list)
    _armed: list[PlannedHarm] = field(default_factory=list)
    _undo: dict[int, Callable[[], None]] = field(default_factory=dict)
    _keys: "itertools.count[int]" = field(default_factory=itertools.count)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _is_over: bool = False

    def arm(self, harm: PlannedHarm) -> None:
        if harm.trigger is Trigger.NOW:
            self._do_now(harm)
            return
        self._armed.append(harm)
        asyncio.get_running_loop().call_later(PATIENCE_S, self._lose_patience, harm)

    def _lose_patience(self, harm: PlannedHarm) -> None:
        if harm in self._armed:
            self._armed.remove(harm)
            self._do_now(replace(harm, trigger=Trigger.NOW))

    def _do_now(self, harm: PlannedHarm) -> None:
        """Or as soon as there is somebody whom it may be done to."""
        worker = next((each for each in self._workers() if self._may_hit(harm, each)), None)
        if worker is not None or harm.kind in OF_ALL:
            self._do(harm, worker, "")
        elif not self._is_over:
            asyncio.get_running_loop().call_later(AGAIN_S, self._do_now, harm)

    def hear(self, trigger: Trigger, by: str | None, about: str) -> None:
        """Synchronous, so that a process is gone before it learns what it has just caused."""
        worker = self.stage.fleet.workers.get(by or "")
        if self._is_over or worker is None or not worker.is_running:
            return
        worker.is_serving |= trigger is Trigger.DELIVERED
        is_draining = worker.life.told_to_stop_at is not None
        for harm in self._armed:
            is_due = harm.trigger is trigger or (harm.trigger is Trigger.DRAINING and is_draining)
            if is_due and (self._may_hit(harm, worker) or (is_draining and harm.trigger is Trigger.DRAINING)):
                self._armed.remove(harm)
                if harm.delay_s:
                    asyncio.get_running_loop().call_later(harm.delay_s, self._do, harm, worker, about)
                else:
                    self._do(harm, worker, about)
                return

    async def end(self) -> None:
        """From now on nothing is in the way of anybody."""
        self._is_over = True
        faults = self.stage.broker.faults
        faults.clear()
        for undo in list(self._undo.values()):
            undo()
        while self._tasks:
            await asyncio.wait(set(self._tasks))
        await faults.admit_connections()

    def _workers(self) -> list[Worker]:
        """Those that were hit longest ago first."""
        hit_at = {harm.by: harm.at for harm in self.done}
        workers = [each for each in self.stage.fleet.workers.values() if each.is_running]
        return sorted(workers, key=lambda worker: hit_at.get(worker.name, 0.0))

    @staticmethod
    def _may_hit(harm: PlannedHarm, worker: Worker) -> bool:
        """Who is only starting is killed at its start's own occasions, or nobody would ever get to work."""
        if harm.kind in FATAL:
            is_in_reach = worker.is_serving or harm.trigger in {Trigger.TOKEN, Trigger.ATTACH}
            return is_in_reach and not worker.seat.survives and not worker.is_going
        return not worker.is_going and not worker.is_frozen

    def _do(self, planned: PlannedHarm, worker: Worker | None, about: str) -> None:
        if self._is_over or (worker is not None and not worker.is_running):
            return
        now = time.time()
        harm = Harm(
            kind=planned.kind,
            at=now,
            until=now + planned.lasts_s,
            by=None if worker is None or planned.kind in OF_ALL else worker.name,
            trigger=planned.trigger,
        )
        self.done.append(harm)
        if worker is None or planned.kind in OF_ALL:
            self._to_all(harm, planned)
        elif planned.kind in FATAL or planned.kind in {Kind.FREEZE, Kind.FREEZE_BRIEFLY}:
            self._to_process(harm, worker, planned)
        else:
            self._to_connections(harm, worker.name, planned, about)

    def _to_process(self, harm: Harm, worker: Worker, planned: PlannedHarm) -> None:
        match planned.kind:
            case Kind.KILL:
                worker.kill()
            case Kind.TERM:
                worker.tell_to_stop()
            case Kind.TERM_TWICE:
                worker.tell_to_stop()
                self._later(HURRIED_S, worker.tell_to_stop)
            case _:
                worker.freeze()
                self._later(planned.lasts_s, worker.thaw, harm)

    def _to_connections(self, harm: Harm, by: str, planned: PlannedHarm, about: str) -> None:
        if planned.kind is Kind.SILENCE:
            self.stage.broker.faults.silence_connections(key_name=by)
            self._later(planned.lasts_s, lambda: self._cut_silent(by), harm)
        elif planned.kind in {Kind.LOSE_LOCK, Kind.LOSE_LOCKS}:
            harm.entity = REQUESTS
            self._lose_locks(harm, by, about if planned.kind is Kind.LOSE_LOCK else None)
        else:
            harm.entity, begin = TO_CONNECTIONS[planned.kind]
            begin(self.stage.broker.faults, by)

    def _lose_locks(self, harm: Harm, by: str, about: str | None) -> None:
        """Not from within the broker's own call."""
        held = self.stage.held_by(by)
        branches = held if about is None else [each for each in held if each == about] or held[:1]
        harm.branch = ",".join(branches)
        lose = self.stage.broker.faults.lose_locks
        for branch in branches:
            asyncio.get_running_loop().call_soon(partial(lose, REQUESTS, message_id=branch))

    def _to_all(self, harm: Harm, planned: PlannedHarm) -> None:
        stage = self.stage
        match planned.kind:
            case Kind.AWAY:
                stage.broker.faults.refuse_connections()
                stage.broker.faults.cut_connections()
                self._later(planned.lasts_s, self._admit, harm)
            case Kind.TOKENS_REFUSED:
                stage.identity.script(Refuse(status=500))
                self._later(planned.lasts_s, lambda: stage.identity.script(ISSUES), harm)
            case Kind.TOKENS_LATE:
                stage.identity.script(Issue(lifetime_s=ISSUES.lifetime_s, after_s=planned.lasts_s))
                self._later(planned.lasts_s, lambda: stage.identity.script(ISSUES), harm)
            case Kind.FLOWS_DOWN:
                stage.door.is_down = True
                self._later(planned.lasts_s, self._raise_flows, harm)
            case _:
                raise AssertionError(f"{planned.kind} is one worker's")

    def _raise_flows(self) -> None:
        self.stage.door.is_down = False

    def _admit(self) -> None:
        task = asyncio.create_task(self.stage.broker.faults.admit_connections())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _cut_silent(self, by: str) -> None:
        """By then the worker may have new connections, which go as well."""
        self.stage.broker.faults.cut_connections(key_name=by)

    def _later(self, seconds: float, undo: Callable[[], None], harm: Harm | None = None) -> None:
        """Once: in so many seconds, or at the end of the round."""

        def act() -> None:
            if self._undo.pop(key, None) is None:
                return
            undo()
            if harm is not None:
                harm.until = time.time()

        key = next(self._keys)
        self._undo[key] = act
        asyncio.get_running_loop().call_later(seconds, act)
