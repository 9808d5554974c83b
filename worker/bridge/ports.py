"""What the bridge needs of the world. The adapters fit these shapes; `app` puts them together."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from worker.core.attempt import Attempt
from worker.core.delivery import Delivery
from worker.core.flow_spec import FlowSpec
from worker.core.outcome import FlowOutcome, Indeterminate, NoRetry, Running, Unavailable
from worker.core.redelivery import Copy
from worker.core.reply import Reply, Undelivered
from worker.core.request import Call
from worker.core.settlement import Settled, Settlement
from worker.core.trace import TraceContext


class Lane(Protocol):
    """One receiver of the request queue. One task owns it: no two of its methods ever run at once.

    `open`, `receive` and `renew_lock` raise `BusUnreachable` or `Misconfigured`; afterwards the lane must be
    opened again. What was received before stays settleable through the new link while its lock lives.
    """

    async def open(self) -> None: ...

    @property
    def window(self) -> int:
        """How many deliveries are asked for at once, whenever nothing is left of what was asked for before."""
        ...

    @property
    def credit(self) -> int:
        """Deliveries that the broker may still send on what was asked so far, or has sent: they come out of `receive`.

        That many slots must be kept free; where it is 0, a `window` of them before the next `receive`.
        """
        ...

    async def receive(self, *, wait_s: float) -> list[Delivery]:
        """What is there, as soon as something is; [] after about `wait_s`. Never cancelled."""
        ...

    async def settle(self, batch: Sequence[tuple[Delivery, Settlement]]) -> list[Settled]:
        """One result each, in order. Never raises for the broker's sake; never cut by cancellation."""
        ...

    async def renew_lock(self, delivery: Delivery) -> float | None:
        """The new end of the lock on the loop's clock; None when it is lost."""
        ...

    async def close(self) -> None:
        """Everything received but not handed out goes back to the queue, at no delivery count. Never raises."""
        ...


class SessionLane(Protocol):
    """One receiver that holds one session of the request queue at a time. One task owns it.

    `accept`, `receive` and `begin` raise `SessionLost`, `BusUnreachable` or `Misconfigured`; in each case there is no
    way to settle what was received in the session, and another must be accepted.
    """

    async def accept(self, *, wait_s: float) -> bool:
        """Whether a session with messages came free within `wait_s`. May be cancelled."""
        ...

    @property
    def locked_until(self) -> float:
        """The end of the session's lock, on the loop's clock."""
        ...

    async def receive(self, *, wait_s: float) -> Delivery | None:
        """The session's next message; None after about `wait_s`. Never cancelled.

        Its delivery count includes those holders of the session that began it and ended without a word.
        """
        ...

    async def begin(self, delivery: Delivery) -> None:
        """Let the next holder know, should this one end without a word."""
        ...

    async def settle(self, settlement: Settlement) -> Settled:
        """Of what was received last. Never raises for the broker's sake; never cut by cancellation.

        Whatever is not `DONE` leaves no session.
        """
        ...

    async def renew_lock(self) -> bool:
        """False when it is lost. Raises `BusUnreachable` where it was not renewed, though it may last to its end."""
        ...

    async def hand_back(self, *, is_uncalled: bool) -> None:
        """The session, with what is unsettled in it, goes to whoever accepts it next, at no delivery count.

        `is_uncalled`: what was begun surely wasn't called; otherwise the next holder hears of it. Never raises; nothing
        to do where no session is held.
        """
        ...

    async def close(self) -> None:
        """Returns when every link has been. Never raises."""
        ...


class FlowCall(Protocol):
    @property
    def tries(self) -> Sequence[Attempt]:
        """Requests made so far."""
        ...

    @property
    def no_retry(self) -> NoRetry | None:
        """Why there is none after them, once `run` has ended without an answer."""
        ...

    async def run(self) -> FlowOutcome | Running:
        """Every attempt that the call's deadline and the flow's limits allow. Raises nothing but cancellation."""
        ...

    def cut_short(self, why: str) -> Unavailable | Indeterminate:
        """What is known after `run` was cancelled: whether a run may have started."""
        ...


class AnswerFetch(Protocol):
    async def run(self) -> FlowOutcome | Running:
        """The flow's own answer, once it is there; where it isn't yet at the end of the stay, where to ask on.

        Raises nothing but cancellation.
        """
        ...

    def cut_short(self, why: str) -> Indeterminate:
        """What is known after `run` was cancelled."""
        ...


class Flows(Protocol):
    def start(self, call: Call) -> FlowCall: ...

    def fetch(self, flow: FlowSpec, running: Running, *, until: float, stays_until: float) -> AnswerFetch: ...


class Tracing(Protocol):
    def context(self, trace: Mapping[str, str]) -> TraceContext:
        """Of the work on a request that came with this `traceparent` and `tracestate`, or without."""
        ...


class Replies(Protocol):
    async def publish(self, reply: Reply, *, until: float) -> Undelivered | None:
        """None once the broker has accepted it; else why it can't be delivered: refused for good, or `until` passed.

        Repeats as often as it takes; a repeat is the same message to duplicate detection.
        """
        ...


class Redeliveries(Protocol):
    async def schedule(self, copy: Copy, *, until: float) -> Undelivered | None:
        """Put a copy on the queue for later; None once accepted, else why not."""
        ...
