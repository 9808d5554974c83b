"""Bugs on purpose, each to be caught by the campaign or the simulation: `python planted.py NAME -- run` has one.

A bug is a function that changes the worker's own classes; `planted` undoes it. It keeps no state but its own.
"""

import asyncio
import itertools
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, Final
from uuid import uuid4

from worker.bridge import obtaining as ways
from worker.bridge import process as passages
from worker.bridge.copying import Copying
from worker.bridge.lane_work import LaneWork
from worker.bridge.leash import CutReason
from worker.bridge.process import Passage
from worker.bridge.pump import Pump
from worker.bridge.renewals import Renewals
from worker.core import redelivery
from worker.core import reply as replies
from worker.core.recall import Recall
from worker.core.response import Again
from worker.core.settlement import Abandon, Settled
from worker.core.verdict import TryLater
from worker.flow.call import FlowCall
from worker.servicebus import lanes as receiving

process: Any = passages  # what they import is changed there
obtaining: Any = ways
lanes: Any = receiving
Patch = Callable[[Any, str, Any], None]  # owner, attribute, value
EVERY: Final = 25  # request is hit by a bug that hits some
FAR_S: Final = 1e12
GROWTH_BYTES: Final = 1_000_000


def complete_before_reply(patch: Patch) -> None:
    publish = Passage._publish
    tasks: set[asyncio.Task[Any]] = set()

    async def not_awaited(self: Passage, *arguments: Any) -> None:
        task = asyncio.create_task(publish(self, *arguments))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    patch(Passage, "_publish", not_awaited)


def complete_before_copy(patch: Patch) -> None:
    schedule = Copying._schedule
    tasks: set[asyncio.Task[Any]] = set()

    async def not_awaited(self: Copying, *arguments: Any) -> None:
        task = asyncio.create_task(schedule(self, *arguments))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    patch(Copying, "_schedule", not_awaited)


def no_renewal(patch: Patch) -> None:
    plan = Renewals.plan

    def never(self: Renewals, slot: Any, _at: float) -> None:
        plan(self, slot, FAR_S)

    patch(Renewals, "plan", never)


def abandon_on_shutdown(patch: Patch) -> None:
    stop = Pump.stop

    def stop_now(self: Pump) -> None:
        stop(self)
        self.cut(CutReason.DRAIN_OVER)

    patch(Pump, "stop", stop_now)


def random_reply_id(patch: Patch) -> None:
    patch(replies, "_reply_id", lambda *_: uuid4().hex)


def forgetful(patch: Patch) -> None:
    patch(Recall, "look_up", lambda *_, **__: None)
    patch(Recall, "has_run", lambda *_: False)


def lost_lock_ignored(patch: Patch) -> None:
    patch(LaneWork, "_lose", lambda *_: None)


def copy_with_the_originals_id(patch: Patch) -> None:
    patch(redelivery, "_copy_id", lambda _kind, delivery: delivery.message_id)


def hot_abandon(patch: Patch) -> None:
    carry_out = Passage._carry_out

    async def at_once(self: Passage, verdict: Any, outcome: Any) -> Any:
        return Abandon() if isinstance(verdict.then, TryLater) else await carry_out(self, verdict, outcome)

    patch(Passage, "_carry_out", at_once)


def somebody_elses_session(patch: Patch) -> None:
    compose, count = process.compose, itertools.count(1)
    last: list[Any] = []

    def mixed_up(outcome: Any, to: Any, *arguments: Any, **keywords: Any) -> Any:
        last[:] = [*last[-1:], to]
        return compose(outcome, last[0] if next(count) % EVERY == 0 else to, *arguments, **keywords)

    patch(process, "compose", mixed_up)


def wrong_correlation(patch: Patch) -> None:
    compose, count = process.compose, itertools.count(1)

    def mixed_up(*arguments: Any, **keywords: Any) -> Any:
        reply = compose(*arguments, **keywords)
        return replace(reply, correlation_id=reply.message_id) if next(count) % EVERY == 0 else reply

    patch(process, "compose", mixed_up)


def second_attempt_in_doubt(patch: Patch) -> None:
    """After a time-out of a flow that isn't idempotent."""
    patch(
        FlowCall, "_may_repeat", lambda _self, last: getattr(last, "again", None) in {Again.SAFELY, Again.IF_IDEMPOTENT}
    )


def after_crash_ignored(patch: Patch) -> None:
    call_of = obtaining.call_of

    def always(request: Any, delivery: Any, flow: Any, **keywords: Any) -> Any:
        return call_of(request, delivery, replace(flow, after_crash="call"), **keywords)

    patch(obtaining, "call_of", always)


def unconfirmed_is_done(patch: Patch) -> None:
    settle = lanes.settle

    async def hopeful(*arguments: Any, **keywords: Any) -> Settled:
        result = await settle(*arguments, **keywords)
        return Settled.DONE if result is Settled.FAILED else result

    patch(lanes, "settle", hopeful)


def leaking_links(patch: Patch) -> None:
    kept: list[Any] = []

    def drop(self: Any) -> None:
        kept.append(self._receiver)
        self._receiver, self._is_sound, self._credit = None, False, 0

    patch(lanes.ReceiverLane, "_drop", drop)


def drained_without_settling(patch: Patch) -> None:
    patch(LaneWork, "_is_done", property(lambda self: self._is_stopping))


def growing(patch: Patch) -> None:
    begin, kept = Passage.__post_init__, list[bytearray]()

    def grow(self: Passage) -> None:
        kept.append(bytearray(b"x") * GROWTH_BYTES)
        begin(self)

    patch(Passage, "__post_init__", grow)


def sure_of_others(patch: Patch) -> None:
    """A caller is told that its flow did not run, whatever an earlier delivery did."""
    patch(Passage, "_as_far_as_known", lambda _self, outcome: outcome)


BUGS: Final[dict[str, Callable[[Patch], None]]] = {
    bug.__name__.replace("_", "-"): bug
    for bug in (
        complete_before_reply,
        complete_before_copy,
        no_renewal,
        abandon_on_shutdown,
        random_reply_id,
        forgetful,
        lost_lock_ignored,
        copy_with_the_originals_id,
        hot_abandon,
        somebody_elses_session,
        wrong_correlation,
        second_attempt_in_doubt,
        after_crash_ignored,
        unconfirmed_is_done,
        leaking_links,
        drained_without_settling,
        growing,
        sure_of_others,
    )
}


@contextmanager
def planted(name: str) -> Iterator[None]:
    with ExitStack() as undoing:

        def patch(owner: Any, attribute: str, value: Any) -> None:
            undoing.callback(setattr, owner, attribute, getattr(owner, attribute))
            setattr(owner, attribute, value)

        BUGS[name](patch)
        yield


def main(arguments: list[str]) -> int:
    from worker.cli.main import main as flowbridge

    name, separator, *command = arguments
    if separator != "--" or name not in BUGS:
        raise SystemExit(f"python planted.py NAME -- run, with a NAME of: {', '.join(BUGS)}")
    sys.argv = ["flowbridge", *command]
    with planted(name):
        return flowbridge()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
