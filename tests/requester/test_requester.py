import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import pytest

from worker.core.delivery import Delivery
from worker.core.failures import Misconfigured
from worker.core.outcome import Outcome
from worker.core.reply import Reply
from worker.core.request import ReturnAddress
from worker.core.settlement import Complete
from worker.emulator.server import EmbeddedBroker
from worker.requester import BusRefused, NoReply, Requester, RequesterStatistics
from worker.servicebus import reply_session
from worker.servicebus.connect import Bus, BusOptions, QueueSource
from worker.servicebus.lanes import ReceiverLane
from worker.servicebus.replies import ReplyOutbox
from worker.servicebus.reply_session import ReplySession

REQUESTS, REPLIES, REPLIES_BRIEFLY = "flow-requests", "flow-replies", "flow-replies-briefly"


class Bridge:
    """Stands in for the worker: takes requests when told to and answers with the request's own body."""

    def __init__(self, lane: ReceiverLane, replies: ReplyOutbox) -> None:
        self._lane = lane
        self._replies = replies

    async def take(self) -> Delivery:
        while not (deliveries := await self._lane.receive(wait_s=1)):
            pass
        await self._lane.settle([(deliveries[0], Complete())])
        return deliveries[0]

    async def answer(self, request: Delivery, *, message_id: str | None = None) -> None:
        reply = Reply(
            to=ReturnAddress(queue=request.reply_to or "", session_id=request.reply_to_session_id or ""),
            message_id=message_id or f"reply to {request.message_id}",
            correlation_id=request.message_id or "",
            body=request.body or b"",
            content_type=request.content_type,
            time_to_live_s=30.0,
            properties={"outcome": "answered", "http-status": 200, "conversation-id": request.correlation_id or ""},
        )
        assert await self._replies.publish(reply, until=asyncio.get_running_loop().time() + 10) is None

    async def serve(self) -> None:
        while True:
            await self.answer(await self.take())


@pytest.fixture
async def bridge(broker: EmbeddedBroker) -> AsyncIterator[Bridge]:
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(Bus(BusOptions(connection_string=broker.connection_string)))
        queues = (REPLIES, REPLIES_BRIEFLY)
        replies = await stack.enter_async_context(ReplyOutbox(bus, queues=queues, writers=1))
        lane = ReceiverLane(bus, QueueSource(queue=REQUESTS))
        await lane.open()
        stack.push_async_callback(lane.close)
        yield Bridge(lane, replies)


@pytest.fixture
def requesting(broker: EmbeddedBroker) -> Callable[..., Requester]:
    return partial(Requester, connection_string=broker.connection_string, default_timeout_s=20)


@asynccontextmanager
async def serving(bridge: Bridge) -> AsyncIterator[None]:
    service = asyncio.ensure_future(bridge.serve())
    try:
        yield
    finally:
        service.cancel()
        await asyncio.wait({service})


async def has(requester: Requester, is_so: Callable[[RequesterStatistics], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so(requester.statistics):  # noqa: ASYNC110 - statistics are a snapshot, with nothing to wait on
            await asyncio.sleep(0.01)


async def test_an_answer_comes_back_typed(requesting: Callable[..., Requester], bridge: Bridge) -> None:
    async with requesting() as requester, serving(bridge):
        reply = await requester.request({"amount": 120}, correlation_id="conversation")
    assert (reply.outcome, reply.http_status, reply.content_type) == (Outcome.ANSWERED, 200, "application/json")
    assert (reply.body, reply.correlation_id) == (b'{"amount":120}', "conversation")


async def test_a_request_says_how_long_it_is_of_use_and_where_to_answer(
    requesting: Callable[..., Requester], bridge: Bridge
) -> None:
    async with requesting(session_id="mine") as requester:
        asking = asyncio.ensure_future(
            requester.request(
                "text",
                flow="credit-check",
                timeout_s=15,
                message_id="m",
                idempotency_key="k",
                subject="subject",
                properties={"region": "emea"},
            )
        )
        request = await bridge.take()
        await bridge.answer(request)
        assert (await asking).request_id == "m"
    assert request.properties == {"flow": "credit-check", "timeout-s": 15, "idempotency-key": "k", "region": "emea"}
    assert (request.reply_to, request.reply_to_session_id) == (REPLIES, "mine")
    assert (request.time_to_live_s, request.subject, request.body) == (75.0, "subject", b"text")


async def test_everybody_gets_the_answer_to_their_own_question(
    requesting: Callable[..., Requester], bridge: Bridge
) -> None:
    async with requesting() as one, requesting() as other, serving(bridge):
        bodies = [f"{number}".encode() for number in range(100)]
        asked = [(one if number % 2 else other).request(body) for number, body in enumerate(bodies)]
        assert [reply.body for reply in await asyncio.gather(*asked)] == bodies
        for requester in (one, other):
            statistics = requester.statistics
            assert (statistics.answered, statistics.foreign, statistics.waiting) == (50, 0, 0)


async def test_an_answer_after_the_time_out_is_counted_and_completed(
    requesting: Callable[..., Requester], bridge: Bridge, broker: EmbeddedBroker
) -> None:
    async with requesting() as requester:
        with pytest.raises(NoReply) as raised:
            await requester.request(b"", timeout_s=0.8)
        assert raised.value.sent
        await bridge.answer(await bridge.take())
        await has(requester, lambda statistics: statistics.late == 1)
        await broker.until(lambda facts: facts.messages(REPLIES) == [])


async def test_an_answer_to_nothing_that_was_asked_is_counted_and_completed(
    requesting: Callable[..., Requester], bridge: Bridge, broker: EmbeddedBroker
) -> None:
    async with requesting(session_id="mine") as requester, requesting(session_id="mine-too") as other:
        asking = asyncio.ensure_future(requester.request(b""))
        request = await bridge.take()
        await bridge.answer(request)
        await asking
        await bridge.answer(dataclasses.replace(request, reply_to_session_id="mine-too"), message_id="stray")
        await has(other, lambda statistics: statistics.foreign == 1)
        await broker.until(lambda facts: facts.messages(REPLIES) == [])


async def test_a_request_that_the_bus_never_took_says_so(
    requesting: Callable[..., Requester], broker: EmbeddedBroker
) -> None:
    broker.faults.refuse_connections()
    async with requesting() as requester:
        with pytest.raises(NoReply) as raised:
            await requester.request(b"", timeout_s=0.5)
        assert not raised.value.sent


@pytest.mark.parametrize("resets", [True, False])
async def test_nobody_who_waits_is_lost_with_a_connection(
    requesting: Callable[..., Requester], bridge: Bridge, broker: EmbeddedBroker, resets: bool
) -> None:
    async with requesting() as requester:
        asking = asyncio.gather(*(requester.request(f"{number}") for number in range(5)))
        requests = [await bridge.take() for _ in range(5)]
        broker.faults.cut_connections(entity=REPLIES, resets=resets)
        for request in requests:
            await bridge.answer(request)
        assert [reply.body for reply in await asking] == [f"{number}".encode() for number in range(5)]
        assert requester.statistics.reconnects > 0


async def test_a_session_whose_lock_was_lost_is_taken_again(
    requesting: Callable[..., Requester], bridge: Bridge, broker: EmbeddedBroker
) -> None:
    async with requesting(session_id="mine") as requester:
        asking = asyncio.ensure_future(requester.request(b"x"))
        request = await bridge.take()
        async with asyncio.timeout(10):
            while not broker.faults.lose_session_lock(REPLIES, "mine"):  # noqa: ASYNC110 - it is still being accepted
                await asyncio.sleep(0.01)
        await has(requester, lambda statistics: statistics.reconnects > 0)
        await bridge.answer(request)
        assert (await asking).body == b"x"


async def test_a_session_whose_peer_fell_silent_is_taken_again(
    requesting: Callable[..., Requester], bridge: Bridge, broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reply_session, "ANSWER_S", 0.3)
    async with requesting(session_id="mine", reply_queue=REPLIES_BRIEFLY) as requester:
        asking = asyncio.ensure_future(requester.request(b"x"))
        request = await bridge.take()
        broker.faults.silence_connections(entity=REPLIES_BRIEFLY)
        await has(requester, lambda statistics: statistics.reconnects > 0)
        await bridge.answer(request)  # through a sender that fell silent, too
        assert (await asking).body == b"x"


async def test_a_session_that_somebody_still_holds_is_waited_for(
    requesting: Callable[..., Requester], bridge: Bridge, broker: EmbeddedBroker
) -> None:
    async with Bus(BusOptions(connection_string=broker.connection_string)) as bus:
        stale = ReplySession(bus, REPLIES, "mine")
        await stale.open()
        async with requesting(session_id="mine") as requester, serving(bridge):
            asking = asyncio.ensure_future(requester.request(b"x"))
            await has(requester, lambda statistics: statistics.reconnects > 0)
            assert not asking.done()
            await stale.close()
            assert (await asking).body == b"x"


async def test_the_lock_on_the_session_is_renewed(
    requesting: Callable[..., Requester], bridge: Bridge, broker: EmbeddedBroker
) -> None:
    async with requesting(reply_queue=REPLIES_BRIEFLY) as requester:
        asking = asyncio.ensure_future(requester.request(b"x"))
        request = await bridge.take()
        await asyncio.wait({asking}, timeout=2.5)  # locks last one second here
        await bridge.answer(request)
        assert (await asking).body == b"x"
        assert requester.statistics.reconnects == 0


@pytest.mark.parametrize("wrong", [{"request_queue": "nowhere"}, {"reply_queue": "nowhere"}, {"reply_queue": REQUESTS}])
async def test_where_waiting_cannot_help_nobody_waits(
    requesting: Callable[..., Requester], wrong: dict[str, str]
) -> None:
    async with requesting(**wrong) as requester:
        started = asyncio.get_running_loop().time()
        with pytest.raises(BusRefused):
            await requester.request(b"", timeout_s=15)
        with pytest.raises(BusRefused):
            await requester.request(b"", timeout_s=15)
        assert asyncio.get_running_loop().time() - started < 10


async def test_leaving_ends_whoever_still_waits(requesting: Callable[..., Requester], bridge: Bridge) -> None:
    async with requesting() as requester:
        asking = asyncio.ensure_future(requester.request(b""))
        await bridge.take()
    with pytest.raises(NoReply):
        await asking
    with pytest.raises(RuntimeError, match="async with"):
        await requester.request(b"")


async def test_an_error_inside_comes_out_as_it_is(requesting: Callable[..., Requester]) -> None:
    with pytest.raises(LookupError):
        async with requesting():
            raise LookupError


WRONG: list[dict[str, object]] = [{"timeout_s": wrong} for wrong in (0, -1, float("nan"))]
WRONG += [{"message_id": wrong} for wrong in ("", "x" * 129)]
WRONG += [{"content_type": "text/ü"}, {"properties": {"what": object()}}]


@pytest.mark.parametrize("wrong", WRONG)
async def test_arguments_that_cannot_be_sent_are_refused(
    requesting: Callable[..., Requester], wrong: dict[str, object]
) -> None:
    async with requesting() as requester:
        with pytest.raises(ValueError, match=r"must|can't"):
            await requester.request(b"", **wrong)  # type: ignore[arg-type]  # wrong on purpose


async def test_a_connection_string_that_cannot_be_read_is_refused_at_once() -> None:
    with pytest.raises(Misconfigured):
        Requester(connection_string="nonsense")


@pytest.mark.parametrize("names", [{"session_id": "x" * 129}, {"reply_queue": ""}, {"request_queue": ""}])
def test_names_that_the_broker_would_refuse_are_refused_at_once(broker: EmbeddedBroker, names: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"session_id|must be names"):
        Requester(connection_string=broker.connection_string, **names)  # type: ignore[arg-type]  # strings all
