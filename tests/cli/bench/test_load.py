from collections import Counter
from collections.abc import AsyncIterator, Callable
from itertools import count

import pytest

from worker.cli.bench.load import BODY, ClosedLoop, Paced, Stalled, WrongReply, conversation, read_reply
from worker.cli.bench.wire import End
from worker.emulator.amqp import events
from worker.emulator.amqp.message import (
    APPLICATION_PROPERTIES,
    DATA,
    Properties,
    encode_properties,
    encode_section,
    read_data,
    read_sections,
    read_value,
)
from worker.emulator.amqp.performatives import RECEIVER, SENDER, Accepted
from worker.emulator.broker import QueueProperties, Topology
from worker.emulator.server import EmbeddedBroker

QUEUES = Topology(
    queues=(
        QueueProperties(name="flow-requests"),
        QueueProperties(name="flow-replies", requires_session=True, duplicate_window_s=600.0),
    )
)


def reply_to(asked: Properties, *, outcome: str = "answered", body: bytes = BODY) -> bytes:
    properties = Properties(correlation_id=asked.message_id, group_id=asked.reply_to_group_id)
    return (
        encode_properties(properties)
        + encode_section(APPLICATION_PROPERTIES, {"outcome": outcome, "attempts": 1})
        + encode_section(DATA, body)
    )


class Answerer(End):
    """What stands where a subject would."""

    async def serve(self, answer: Callable[[Properties], list[bytes]] = lambda asked: [reply_to(asked)]) -> None:
        self.asked: list[Properties] = []
        self._answer, self._tags = answer, count(1)
        self._replies = await self.attach("flow-replies", role=SENDER)
        requests = await self.attach("flow-requests", role=RECEIVER)
        self.session.grant_credit(requests, 10_000)
        self.flush()

    def on_delivery(self, delivery: events.DeliveryReceived) -> None:
        self.asked.append(read_sections(delivery.payload).properties)
        for reply in self._answer(self.asked[-1]):
            self.session.send(self._replies, reply, tag=next(self._tags).to_bytes(8, "big"))
        self.session.dispose(delivery.link, delivery.delivery_id, Accepted(), is_settled=False)


@pytest.fixture
async def broker() -> AsyncIterator[EmbeddedBroker]:
    async with EmbeddedBroker(QUEUES, keeps_history=False) as broker:
        yield broker


@pytest.fixture
async def answerer(broker: EmbeddedBroker) -> AsyncIterator[Answerer]:
    answerer = await Answerer.connected(broker.port)
    yield answerer
    answerer.close()


@pytest.fixture
async def loop_of_callers(broker: EmbeddedBroker) -> AsyncIterator[ClosedLoop]:
    load = await ClosedLoop.connected(broker.port)
    await load.open(sessions=3, window=20, outcome="answered")
    yield load
    load.close()


def no_clock() -> float:
    return 0.0


async def test_a_closed_loop_measures_as_many_replies_as_it_is_told_and_leaves_none_under_way(
    answerer: Answerer, loop_of_callers: ClosedLoop
) -> None:
    await answerer.serve()
    clock = count(5.0, 2.0)
    window = await loop_of_callers.run(in_flight=9, warm_up=20, count=100, cpu_s=lambda: next(clock))
    assert len(window.latencies_ms) == 100
    assert min(window.latencies_ms) > 0
    assert (window.cpu_s, window.took_s > 0) == (2.0, True)
    assert len(answerer.asked) == 20 + 100 + 9 - 1  # the reply that ends it asks no more
    assert len({asked.message_id for asked in answerer.asked}) == len(answerer.asked)


async def test_requests_spread_evenly_over_the_reply_sessions(answerer: Answerer, loop_of_callers: ClosedLoop) -> None:
    await answerer.serve()
    await loop_of_callers.run(in_flight=6, warm_up=1, count=5, cpu_s=no_clock)
    first = Counter(asked.reply_to_group_id for asked in answerer.asked[:6])
    assert sorted(first.values()) == [2, 2, 2]


async def test_more_requests_than_the_broker_gives_credit_for_go_as_it_gives_more(
    answerer: Answerer, loop_of_callers: ClosedLoop
) -> None:
    await answerer.serve()
    window = await loop_of_callers.run(in_flight=1500, warm_up=1, count=100, cpu_s=no_clock)
    assert len(window.latencies_ms) == 100
    assert len(answerer.asked) == 1500 + 100


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda asked: [reply_to(asked, outcome="unavailable")], "a reply was 'unavailable' instead of 'answered'"),
        (lambda asked: [reply_to(asked, body=b"else")], "didn't hold what the flow had answered"),
        (lambda asked: [reply_to(asked._replace(message_id="x"))], "a reply came to 'x', which isn't asked"),
        (lambda asked: [reply_to(asked), reply_to(asked)], "or has its reply already"),
    ],
)
async def test_a_wrong_reply_ends_it(
    answerer: Answerer, loop_of_callers: ClosedLoop, answer: Callable[[Properties], list[bytes]], told: str
) -> None:
    await answerer.serve(answer)
    with pytest.raises(WrongReply, match=told):
        await loop_of_callers.run(in_flight=4, warm_up=1, count=50, cpu_s=no_clock)


async def test_without_any_reply_it_has_stalled(loop_of_callers: ClosedLoop) -> None:
    with pytest.raises(Stalled, match=r"no reply came for 0\.05 s"):
        await loop_of_callers.run(in_flight=4, warm_up=1, count=50, cpu_s=no_clock, stalled_s=0.05)


async def test_the_loss_of_the_broker_ends_it(
    broker: EmbeddedBroker, answerer: Answerer, loop_of_callers: ClosedLoop
) -> None:
    def cut(asked: Properties) -> list[bytes]:
        broker.faults.cut_connections(resets=False)
        return []

    await answerer.serve(cut)
    with pytest.raises(ConnectionError):
        await loop_of_callers.run(in_flight=4, warm_up=1, count=50, cpu_s=no_clock)


async def test_a_paced_caller_asks_at_its_rate_and_leaves_the_first_replies_out(
    broker: EmbeddedBroker, answerer: Answerer
) -> None:
    await answerer.serve()
    load = await Paced.connected(broker.port)
    await load.open(sessions=1, window=10)
    latencies_ms = await load.run(per_s=400, skipped=5, count=20)
    load.close()
    assert len(latencies_ms) == 20
    assert len(answerer.asked) == 25
    assert len({asked.reply_to_group_id for asked in answerer.asked}) == 1


def test_a_request_is_as_the_contract_has_it() -> None:
    made = conversation("s")
    message = made.head + b"0123456789abcdef" + made.tail
    properties = read_sections(message).properties
    assert properties == Properties(
        message_id="0123456789abcdef",
        reply_to="flow-replies",
        content_type="application/json",
        reply_to_group_id="s",
    )
    assert read_value(message, APPLICATION_PROPERTIES) == {"timeout-s": 600}
    assert read_data(message) == [BODY]


def test_of_a_reply_that_says_no_outcome_only_the_correlation_is_read() -> None:
    encoded = encode_properties(Properties(correlation_id="c")) + encode_section(DATA, b"")
    assert read_reply(encoded) == ("c", None)
    assert read_reply(encode_section(DATA, b"")) == (None, None)
