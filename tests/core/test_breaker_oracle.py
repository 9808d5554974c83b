"""The breaker against interlock-cb's: the same calls at the same times, the same answer to the next call."""

from asyncio import CancelledError
from contextvars import Context, copy_context
from dataclasses import dataclass
from operator import itemgetter
from typing import Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)
from interlock import CircuitBreaker, CircuitOpenError, Config, State, WindowType

from worker.core.breaker import BUCKETS, Breaker, Circuit, Isolated, OpenUntil, Permit, ProbeUnderWay, Refusal
from worker.core.flow_spec import BreakerSpec
from worker.core.response import Sign

# Theirs counts by whole seconds of the clock, ours by buckets that start with a call. All times are whole
# seconds and our buckets one second wide, so that both hold the same calls.
WINDOW_S: Final = BUCKETS
RATIOS: Final = (0.25, 1 / 3, 0.5, 0.75, 1.0)
CIRCUITS: Final = {
    State.CLOSED: Circuit.CLOSED,
    State.OPEN: Circuit.OPEN,
    State.HALF_OPEN: Circuit.HALF_OPEN,
    State.FORCED_OPEN: Circuit.ISOLATED,
}


class Clock:
    """Starts at 0: theirs takes negative times for none at all."""

    def __init__(self) -> None:
        self.now = 0

    def monotonic(self) -> float:
        return self.now


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderWay:
    permit: Permit
    started_at: int


@st.composite
def specs(draw: st.DrawFn) -> BreakerSpec:
    """One bad probe reopens ours; theirs compares all of a round with the ratios, which one of them has to reach."""
    probes = draw(st.integers(1, 3))
    ratios = st.sampled_from([ratio for ratio in RATIOS if ratio <= 1 / probes])
    return BreakerSpec(
        window_s=WINDOW_S,
        min_calls=draw(st.sampled_from((1, 2, 4, 6))),
        failure_ratio=draw(ratios),
        slow_s=draw(st.integers(1, 3)),
        slow_ratio=draw(ratios),
        open_s=draw(st.integers(1, 6)),
        probes=probes,
    )


def oracle_of(spec: BreakerSpec, clock: Clock) -> CircuitBreaker:
    config = Config(
        failure_rate_threshold=spec.failure_ratio,
        minimum_number_of_calls=spec.min_calls,
        slow_call_duration_threshold=spec.slow_s,
        slow_call_rate_threshold=spec.slow_ratio,
        permitted_calls_in_half_open=spec.probes,
        max_concurrent_probes=spec.probes,
        wait_duration_in_open=spec.open_s,
        wait_duration_backoff_multiplier=2.0,
        wait_duration_in_open_max=8 * spec.open_s,  # doubled three times
        window_type=WindowType.TIME_BASED,
        # Ours keeps a bucket until the last call that it may hold is as old as the window: one bucket more.
        window_size=WINDOW_S + 1,
    )
    return CircuitBreaker(name="oracle", config=config, clock=clock)


class TwoBreakers(RuleBasedStateMachine):
    under_way = Bundle("under_way")

    @initialize(spec=specs(), has_operator=st.booleans())
    def both_are_new(self, spec: BreakerSpec, *, has_operator: bool) -> None:
        """Without an operator, who cuts most stories short, the open time grows in full."""
        self.has_operator = has_operator
        self.clock = Clock()
        self.ours = Breaker(spec)
        self.theirs = oracle_of(spec, self.clock)
        # Theirs ends the youngest call of a context: with one each, they end in any order.
        self.contexts: dict[Permit, Context] = {}

    @rule(seconds=st.sampled_from((1, 2, 5, WINDOW_S, WINDOW_S + 1)))
    def time_passes(self, seconds: int) -> None:
        self.clock.now += seconds

    @precondition(lambda self: self.theirs.state is State.OPEN)
    @rule(lacking_s=st.integers(0, 1))
    def time_passes_until_probes_are_due(self, lacking_s: int) -> None:
        reopens_at = self.ours.reopens_at(self.clock.now)
        assert reopens_at is not None
        self.clock.now = int(reopens_at) - lacking_s

    @rule(target=under_way, count=st.integers(1, 4))
    def calls_ask(self, count: int) -> MultipleResults[UnderWay]:
        return multiple(*filter(None, [self.ask() for _ in range(count)]))

    @rule(call=consumes(under_way), sign=st.sampled_from(Sign))
    def call_ends(self, call: UnderWay, sign: Sign) -> None:
        self.end(call, sign)

    @rule(call=consumes(under_way))
    def call_is_cancelled(self, call: UnderWay) -> None:
        self.cancel(call)

    @rule(
        after_s=st.sampled_from((0, 1, WINDOW_S, WINDOW_S + 1)),
        endings=st.lists(st.tuples(st.integers(0, 3), st.sampled_from(Sign)), min_size=1, max_size=6),
    )
    def calls_start_together(self, after_s: int, endings: list[tuple[int, Sign]]) -> None:
        """Each ends so many seconds later, with its sign."""
        self.clock.now += after_s
        started_at = self.clock.now
        calls = [self.ask() for _ in endings]
        for call, (took_s, sign) in zip(calls, sorted(endings, key=itemgetter(0)), strict=True):
            self.clock.now = started_at + took_s
            if call is not None:
                self.end(call, sign)

    @precondition(lambda self: self.has_operator)
    @rule()
    def operator_isolates(self) -> None:
        self.ours.isolate()
        self.theirs.force_open()

    @precondition(lambda self: self.has_operator)
    @rule()
    def operator_resets(self) -> None:
        self.ours.reset()
        self.theirs.reset()

    @invariant()
    def both_have_the_same_answer_to_the_next_call(self) -> None:
        # Theirs notices only when asked that the time of probes has come: so it is asked before its state is read.
        call = self.ask()
        if call is not None:
            self.cancel(call)
        assert self.ours.circuit(self.clock.now) is CIRCUITS[self.theirs.state]

    def ask(self) -> UnderWay | None:
        admission = self.ours.admit(self.clock.now)
        theirs = self.ask_theirs()
        if not isinstance(theirs, Context):
            assert admission == theirs
            return None
        assert isinstance(admission, Permit)
        self.contexts[admission] = theirs
        return UnderWay(permit=admission, started_at=self.clock.now)

    def ask_theirs(self) -> Context | Refusal:
        context = copy_context()
        try:
            context.run(self.theirs.__enter__)
        except CircuitOpenError as refused:
            if refused.retry_after is not None:
                return OpenUntil(at=self.clock.now + refused.retry_after)
            return Isolated() if self.theirs.state is State.FORCED_OPEN else ProbeUnderWay()
        return context

    def end(self, call: UnderWay, sign: Sign) -> None:
        self.ours.record(call.permit, sign, took_s=self.clock.now - call.started_at, now=self.clock.now)
        self.end_theirs(call.permit, RuntimeError() if sign is Sign.FAILED else None)
        if self.ours.circuit(self.clock.now) is Circuit.OPEN and self.theirs.state is State.HALF_OPEN:
            self.end_their_round()

    def end_their_round(self) -> None:
        """Ours reopens at the first bad probe, theirs when as many have ended as a round has: they end now, well."""
        for permit in list(self.contexts):
            self.end_theirs(permit, CancelledError())
        while self.theirs.state is State.HALF_OPEN:
            self.theirs.call(lambda: None)

    def cancel(self, call: UnderWay) -> None:
        self.ours.give_back(call.permit)
        self.end_theirs(call.permit, CancelledError())

    def end_theirs(self, permit: Permit, error: BaseException | None) -> None:
        """Nothing happens to a call that ended with its round."""
        context = self.contexts.pop(permit, None)
        if context is not None:
            context.run(self.theirs.__exit__, type(error) if error else None, error, None)


TestTwoBreakers = TwoBreakers.TestCase
TestTwoBreakers.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
