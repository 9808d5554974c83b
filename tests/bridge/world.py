"""The bridge's ports, faked in memory: flows, the ways out, and everything put together around one passage."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, Final, TypeAlias

from worker.bridge.places import Places
from worker.bridge.process import Bridge, BridgeSpec, Passage
from worker.core.admission import AdmissionSpec
from worker.core.attempt import Attempt
from worker.core.bulkhead import Bulkhead
from worker.core.delivery import Delivery
from worker.core.flow_spec import FlowSpec
from worker.core.outcome import (
    Answered,
    Expired,
    FlowBody,
    FlowOutcome,
    Indeterminate,
    NoRetry,
    Refused,
    Running,
    Unavailable,
    lost_sight_of,
)
from worker.core.recall import Recall
from worker.core.redelivery import Copy, RedeliverySpec
from worker.core.reply import Reply, Undelivered
from worker.core.request import Call

from .virtual_time import STARTS_AT

ANSWERED: Final = Answered(
    http_status=200, body=FlowBody(content=b'{"ok":true}', content_type="application/json"), run_id="run-1", attempts=1
)
REFUSED: Final = Refused(http_status=400, detail="The flow answered with HTTP 400.", attempts=1, run_id="run-2")
UNAVAILABLE: Final = Unavailable(detail="Connection refused.", attempts=4, retry_after_s=7.2)
INDETERMINATE: Final = Indeterminate(detail="The time was up.", attempts=1, http_status=504)
EXPIRED: Final = Expired(detail="Too little time was left.")
RUNNING: Final = Running(location="https://x/runs/1?sig=secret", retry_after_s=None, run_id="run-3", attempts=1)

RISKY: Final = FlowSpec(name="risky", url="http://127.0.0.1/risky")
SAFE: Final = FlowSpec(name="safe", url="http://127.0.0.1/safe", idempotent=True)
WARY: Final = FlowSpec(name="wary", url="http://127.0.0.1/wary", after_crash="indeterminate")
PICKY: Final = FlowSpec(name="picky", url="http://127.0.0.1/picky", body="context")
SPEC: Final = BridgeSpec(
    namespace_host="contoso.servicebus.windows.net",
    reply_queues=("flow-replies", "other-replies"),
    flows={flow.name: flow for flow in (RISKY, SAFE, WARY, PICKY)},
    routes=(),
    admission=AdmissionSpec(max_depth=8, organizations=()),
    redelivery=RedeliverySpec(delays_s=(5.0, 30.0), max_age_s=86_400.0),
    default_timeout_s=110.0,
)
CALLER: Final[dict[str, Any]] = {
    "reply_to": "flow-replies",
    "reply_to_session_id": "caller-1",
}  # what makes a delivery expect a reply

Ending: TypeAlias = FlowOutcome | Running | Exception


@dataclass(kw_only=True)
class FakeFlows:
    """Every call takes `takes_s` and ends as `ending` says; a run may have started after `safe_for_s` of it.

    After a cancellation it takes another `ends_within_s`.
    """

    ending: Ending | Callable[[Call], Ending] = ANSWERED
    takes_s: float = 1.0
    safe_for_s: float = 0.0
    ends_within_s: float = 0.0
    start_fails: Exception | None = None
    answer: FlowOutcome = ANSWERED  # of a run that goes on, after `answer_takes_s`
    answer_takes_s: float = 1.0
    calls: list[Call] = field(default_factory=list)
    fetches: list[Running] = field(default_factory=list)

    def start(self, call: Call) -> "FakeCall":
        if self.start_fails is not None:
            raise self.start_fails
        return FakeCall(flows=self, call=call)

    def fetch(self, flow: FlowSpec, running: Running, *, until: float, stays_until: float) -> "FakeFetch":
        return FakeFetch(flows=self, running=running, until=until, stays_until=stays_until)


@dataclass(kw_only=True)
class FakeFetch:
    flows: FakeFlows
    running: Running
    until: float
    stays_until: float

    async def run(self) -> FlowOutcome | Running:
        self.flows.fetches.append(self.running)
        left_s = self.until - asyncio.get_running_loop().time()
        stays_s = self.stays_until - asyncio.get_running_loop().time()
        if stays_s < min(left_s, self.flows.answer_takes_s):
            await asyncio.sleep(stays_s)
            return replace(self.running, retry_after_s=15.0)
        await asyncio.sleep(max(0.0, min(left_s, self.flows.answer_takes_s)))
        if left_s < self.flows.answer_takes_s:
            return self.cut_short("its answer did not come in time")
        return self.flows.answer

    def cut_short(self, why: str) -> Indeterminate:
        return lost_sight_of(self.running, why)


@dataclass(kw_only=True)
class FakeCall:
    flows: FakeFlows
    call: Call
    started_at: float | None = None
    no_retry: NoRetry | None = None

    @property
    def tries(self) -> list[Attempt]:
        return [] if self.started_at is None or self.is_in_line() else [Attempt(began_at=self.started_at)]

    async def run(self) -> FlowOutcome | Running:
        self.started_at = asyncio.get_running_loop().time()
        self.flows.calls.append(self.call)
        try:
            await asyncio.sleep(self.flows.takes_s)
        except asyncio.CancelledError:
            await asyncio.sleep(self.flows.ends_within_s)
            raise
        ending = self.flows.ending
        ended = ending(self.call) if callable(ending) else ending
        if isinstance(ended, Exception):
            raise ended
        return ended

    def cut_short(self, why: str) -> Unavailable | Indeterminate:
        if self.is_in_line():
            return Unavailable(detail=why, attempts=0)
        return Indeterminate(detail=why, attempts=1)

    def is_in_line(self) -> bool:
        now = asyncio.get_running_loop().time()
        return self.started_at is None or now < self.started_at + self.flows.safe_for_s


@dataclass(kw_only=True)
class FakeReplies:
    """Each publishing takes `takes_s`; `says` are the results to come, and a failure among them is raised."""

    takes_s: float = 0.0
    says: list[Undelivered | Exception | None] = field(default_factory=list)
    published: list[Reply] = field(default_factory=list)
    refused: list[Reply] = field(default_factory=list)
    until: list[float] = field(default_factory=list)

    async def publish(self, reply: Reply, *, until: float) -> Undelivered | None:
        self.until.append(until)
        await asyncio.sleep(self.takes_s)
        said = self.says.pop(0) if self.says else None
        if isinstance(said, Exception):
            raise said
        (self.published if said is None else self.refused).append(reply)
        return said


@dataclass(kw_only=True)
class FakeRedeliveries:
    """The broker takes a copy at once, and says so after `takes_s`."""

    takes_s: float = 0.0
    says: Undelivered | Exception | None = None
    scheduled: list[Copy] = field(default_factory=list)

    async def schedule(self, copy: Copy, *, until: float) -> Undelivered | None:
        if isinstance(self.says, Exception):
            raise self.says
        if self.says is None:
            self.scheduled.append(copy)
        await asyncio.sleep(self.takes_s)
        return self.says


class World:
    def __init__(self, spec: BridgeSpec = SPEC, *, slots: int = 200) -> None:
        self.flows = FakeFlows()
        self.replies = FakeReplies()
        self.redeliveries = FakeRedeliveries()
        self.recall = Recall()
        self.bulkhead = Bulkhead(slots, spec.flows)
        self.bridge = Bridge(
            spec=spec,
            flows=self.flows,
            replies=self.replies,
            redeliveries=self.redeliveries,
            places=Places(self.bulkhead),
            recall=self.recall,
        )
        self._numbers = count(1)

    def delivery(self, flow: str = "risky", *, properties: dict[str, Any] | None = None, **given: Any) -> Delivery:
        """Fresh, two seconds in the queue, one-way unless `CALLER` is given."""
        number = next(self._numbers)
        fields: dict[str, Any] = {
            "lock_token": f"lock-{number}",
            "sequence_number": number,
            "delivery_count": 0,
            "enqueued_at": STARTS_AT - 2.0,
            "enqueued_time_ms": 1_700_000_000_000,
            "locked_until": STARTS_AT + 60.0,
            "message_id": f"m-{number}",
            "correlation_id": None,
            "session_id": None,
            "reply_to": None,
            "reply_to_session_id": None,
            "content_type": "text/plain",
            "subject": None,
            "to": None,
            "partition_key": None,
            "time_to_live_s": None,
            "body": b"hello",
            "properties": {"flow": flow, **(properties or {})},
        }
        return Delivery(**{**fields, **given})

    def received(self, copy: Copy, *, later_s: float = 0.0) -> Delivery:
        """The copy as some worker gets it, `later_s` after it became visible."""
        original, number = copy.original, next(self._numbers)
        now = asyncio.get_running_loop().time()
        enqueued_at = now - later_s
        return replace(
            original,
            lock_token=f"lock-{number}",
            sequence_number=number,
            delivery_count=0,
            enqueued_at=enqueued_at,
            enqueued_time_ms=original.enqueued_time_ms + round((enqueued_at - original.enqueued_at) * 1000),
            locked_until=now + 60.0,
            message_id=copy.message_id,
            time_to_live_s=copy.time_to_live_s,
            properties=copy.properties,
        )

    def passage(self, delivery: Delivery) -> Passage:
        return Passage(bridge=self.bridge, delivery=delivery)
