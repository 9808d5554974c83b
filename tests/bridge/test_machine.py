"""The same world step by step: each rule is something that somebody does, or a fault, or time that passes."""

import os

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from worker.core.failures import BusFailure
from worker.core.reply import Undelivered

from .ledger import Ask
from .schedule import ENDINGS, FAILURES, FLOWS, REPLIES_SAY
from .simulated_lanes import SimulatedLink
from .simulated_worker import LATE, NOT_HERE
from .simulation import Simulation

EXAMPLES = int(os.environ.get("FLOWBRIDGE_EXAMPLES", "100"))
_MOST_ASKED = 8

posts = st.integers(0, 2)


class Workers(RuleBasedStateMachine):
    """Every step checks the laws; in the end nothing goes wrong any more, and everything comes to its end."""

    @initialize(
        posts=st.integers(1, 3),
        lanes=st.integers(1, 2),
        concurrency=st.sampled_from([4, 1, 8]),
        lock_s=st.sampled_from([20.0, 5.0]),
        drops_repeats=st.sampled_from([True, False]),
        is_ordered=st.booleans(),
    )
    def begin(
        self, *, posts: int, lanes: int, concurrency: int, lock_s: float, drops_repeats: bool, is_ordered: bool
    ) -> None:
        self.broken_links: list[SimulatedLink] = []
        self.simulation = Simulation(
            posts=posts,
            lanes=lanes,
            concurrency=concurrency,
            lock_s=lock_s,
            drops_repeats=drops_repeats,
            is_ordered=is_ordered,
        )

    def teardown(self) -> None:
        if not hasattr(self, "simulation"):
            return
        try:
            if not self.simulation.is_broken:
                self.simulation.settle_down()
        finally:
            self.simulation.close()

    @precondition(lambda self: len(self.simulation.ledger.entries) < _MOST_ASKED)
    @rule(
        flow=st.sampled_from(list(FLOWS)),
        session=st.sampled_from(["s-1", "s-2", "s-3"]),
        has_caller=st.booleans(),
        ending=st.sampled_from(list(ENDINGS)),
        then=st.sampled_from(list(ENDINGS)),
        takes_s=st.sampled_from([0.5, 5.0, 15.0]),
        in_line_s=st.sampled_from([0.0, 3.0]),
        reply_says=st.sampled_from(list(REPLIES_SAY)),
    )
    def send(
        self,
        *,
        flow: str,
        session: str,
        has_caller: bool,
        ending: str,
        then: str,
        takes_s: float,
        in_line_s: float,
        reply_says: str,
    ) -> None:
        ask = Ask(
            flow=FLOWS[flow],
            session=session if self.simulation.is_ordered else None,
            has_caller=has_caller,
            takes_s=takes_s,
            in_line_s=in_line_s,
            endings=(ENDINGS[ending], ENDINGS[then]),
            reply_takes_s=0.2,
            reply_says=(REPLIES_SAY[reply_says],),
        )
        self.simulation.do(lambda: self.simulation.send(ask))

    @rule(seconds=st.sampled_from([0.05, 0.5, 2.0, 6.0, 25.0]))
    def time_passes(self, seconds: float) -> None:
        self.simulation.advance(seconds)

    @rule(nth=st.integers(0, 3))
    def lose_a_lock(self, nth: int) -> None:
        self.simulation.do(lambda: self.simulation.lose_lock(nth))

    @rule(
        post=posts,
        lane=st.integers(0, 1),
        failure=st.sampled_from(FAILURES),
        applies=st.booleans(),
        is_noticed=st.booleans(),
    )
    def break_a_link(self, *, post: int, lane: int, failure: BusFailure, applies: bool, is_noticed: bool) -> None:
        def breaks() -> None:
            broken = self.simulation.break_link(post, lane, failure, applies_unconfirmed=applies, is_noticed=is_noticed)
            self.broken_links += [] if broken is None else [broken]

        self.simulation.do(breaks)

    @precondition(lambda self: self.broken_links)
    @rule()
    def restore_the_links(self) -> None:
        for lane in self.broken_links:
            self.simulation.restore_link(lane)
        self.broken_links.clear()

    @rule(settlements=st.integers(1, 3))
    def leave_settlements_unconfirmed(self, settlements: int) -> None:
        self.simulation.leave_unconfirmed(settlements)

    @rule(lasts_s=st.sampled_from([3.0, 40.0]))
    def send_the_reply_queue_away(self, lasts_s: float) -> None:
        self.simulation.send_replies_away(lasts_s)

    @rule(said=st.sampled_from([None, LATE, NOT_HERE]))
    def change_what_copies_meet(self, said: Undelivered | None) -> None:
        self.simulation.say_of_copies(said)

    @rule(post=posts, is_heard=st.booleans())
    def kill_a_worker(self, post: int, is_heard: bool) -> None:
        self.simulation.do(lambda: self.simulation.kill(post, is_heard=is_heard))

    @rule(post=posts)
    def start_another_worker(self, post: int) -> None:
        self.simulation.do(lambda: self.simulation.start(post))

    @rule(post=posts)
    def stop_a_worker(self, post: int) -> None:
        self.simulation.do(lambda: self.simulation.stop(post))

    @rule(post=posts)
    def let_a_worker_stand_still(self, post: int) -> None:
        self.simulation.do(lambda: self.simulation.freeze(post))

    @rule(post=posts)
    def let_a_worker_go_on(self, post: int) -> None:
        self.simulation.do(lambda: self.simulation.thaw(post))

    @rule(post=posts, is_paused=st.booleans())
    def close_or_open_an_intake(self, post: int, is_paused: bool) -> None:
        self.simulation.do(lambda: self.simulation.pause(post, is_paused=is_paused))


TestWorkers = Workers.TestCase
TestWorkers.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    phases=[Phase.reuse, Phase.generate, Phase.shrink],
)
