"""The bus goes away and comes back, in every way it can; the worker stays and is back by itself.

Times are told (`pytest -s`), and held to what is generous for a loaded machine; that they are short by design is what
the first test shows of the pauses themselves.
"""

import asyncio
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest
import structlog
from support.house import REPLIES, REQUESTS, House, RunningWorker, open_house
from support.unreadable import put_unreadable

from worker.bridge import lane_work, outage
from worker.emulator.standins import Answer, Echo
from worker.requester import Requester
from worker.servicebus import lanes, links, pauses, receiving, reply_session, writer

# The SDK leaves the socket of a connection that its peer cut to the garbage collector, which says so.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:loop is closed:ResourceWarning"),
]

GENEROUS_S = 20.0
OPENING_S = 0.6  # the SDK polls every 50 ms and makes a few round trips
LINKS_BESIDE_LANES = 5  # 4 reply senders and 1 for copies: each is a connection
LINKS_OF_A_WORKER = 2 + LINKS_BESIDE_LANES


@pytest.fixture
async def brief_house(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    """Locks of 5 s, so that what a dead connection was given comes again soon."""
    async with open_house(lock_s=5.0) as house:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", house.identity.url)
        yield house


@pytest.fixture
def as_after_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every pause is drawn from the longest range at once, as it is after an outage of any length."""
    monkeypatch.setattr(outage, "_FIRST_PAUSE_S", outage._LONGEST_PAUSE_S)
    monkeypatch.setattr(pauses, "_FIRST_S", pauses.LONGEST_S)


async def readyz(worker: RunningWorker) -> tuple[int, str]:
    url = f"http://127.0.0.1:{worker.http_port}/readyz"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.text()


async def until_ready(worker: RunningWorker, status: int = 200) -> str:
    async with asyncio.timeout(GENEROUS_S):
        while True:
            seen, text = await readyz(worker)
            if seen == status:
                return text
            await asyncio.sleep(0.01)


async def all_links_open(house: House) -> None:
    await house.broker.until(lambda facts: facts.connections >= LINKS_OF_A_WORKER)


async def without_a_sender(house: House) -> Callable[[], None]:
    """Closes the test's own sender, which a fault shall not hit; what is returned makes another."""
    await house.sender.close()

    def again() -> None:
        house.sender = house.client.get_queue_sender(REQUESTS)

    return again


async def answered(house: House, request_id: str) -> bytes:
    """The one answer as it lies in its session, encoded."""
    await house.broker.until(lambda _: bool(house.replies_in(request_id)), timeout_s=GENEROUS_S)
    (reply,) = house.replies_in(request_id)
    assert reply.message.application_properties["outcome"] == "answered"
    return reply.message.payload


def told(what: str, since: float) -> None:
    print(f"{what}: {asyncio.get_running_loop().time() - since:.2f} s")  # noqa: T201 - a measurement


def now() -> float:
    return asyncio.get_running_loop().time()


def test_the_longest_pause_and_an_opening_are_within_three_seconds() -> None:
    assert outage._LONGEST_PAUSE_S + OPENING_S <= 3.0
    assert max(pauses.pause_s(failures, draw=0.999) for failures in (1, 10, 100, 100_000)) + OPENING_S <= 3.0


def test_a_silent_peer_is_found_out_within_half_a_minute() -> None:
    assert receiving.SILENT_S + lane_work._IDLE_WAIT_S + receiving.ANSWER_S + OPENING_S <= 30.0
    assert writer.FIRST_SEND_S + OPENING_S <= 10.0


async def test_a_broker_that_is_away_at_the_start_is_waited_for(house: House) -> None:
    request_id = await house.ask()
    house.broker.faults.refuse_connections()
    async with house.worker(is_expected_to_receive=False) as worker:
        reasons = await until_ready(worker, 503)
        while "no connection to the broker" not in reasons:
            reasons = await until_ready(worker, 503)
        await house.broker.faults.admit_connections()
        back_at = now()
        await until_ready(worker)
        told("ready after the broker came", back_at)
        await answered(house, request_id)


@pytest.mark.parametrize("resets", [True, False])
async def test_an_outage_of_seconds_costs_no_request_and_no_restart(house: House, resets: bool) -> None:
    house.flow.script("flow", Echo(after_s=1.0), Echo())
    async with house.worker() as worker:
        in_hand = await house.ask(b"in hand")
        await house.flow.calls.until(1)
        send_again = await without_a_sender(house)
        house.broker.faults.refuse_connections()
        house.broker.faults.cut_connections(resets=resets)
        await until_ready(worker, 503)
        await house.broker.faults.admit_connections()
        back_at = now()
        await until_ready(worker)
        told("ready after the broker came back", back_at)
        send_again()
        later = await house.ask(b"later")
        assert (await answered(house, in_hand)).endswith(b"in hand")
        assert (await answered(house, later)).endswith(b"later")
        told("both answered", back_at)
        await house.request_queue_empty()
    assert len(house.flow.calls) == 2, "what was in hand is not called again"


async def test_after_minutes_away_it_is_back_as_soon(house: House, as_after_minutes: None) -> None:
    """The pauses are those after minutes; how many such there are doesn't depend on time (tests/bridge)."""
    async with house.worker() as worker:
        await answered(house, await house.ask())
        send_again = await without_a_sender(house)
        house.broker.faults.refuse_connections()
        house.broker.faults.cut_connections()
        await until_ready(worker, 503)
        await asyncio.sleep(1.0)  # so that all are somewhere in a long pause
        await house.broker.faults.admit_connections()
        back_at = now()
        await until_ready(worker)
        told("ready", back_at)
        send_again()
        await answered(house, await house.ask())
        told("answered", back_at)


async def test_no_cut_leaves_a_connection_behind(house: House) -> None:
    house.flow.script("flow", Echo(after_s=0.05))
    async with house.worker() as worker:
        await all_links_open(house)
        request_ids: list[str] = []
        for resets in (True, False, True):
            request_ids += [await house.ask() for _ in range(4)]
            house.broker.faults.cut_connections(resets=resets)
            await until_ready(worker)
        for request_id in request_ids:
            await answered(house, request_id)
        await house.request_queue_empty(within_s=GENEROUS_S)
        await house.sender.close()
        await house.broker.until(lambda facts: facts.connections <= LINKS_OF_A_WORKER)
        assert worker.pump.facts.lanes_receiving == worker.pump.facts.lanes
        house.sender = house.client.get_queue_sender(REQUESTS)
    assert len(house.broker.facts.messages(REPLIES)) == len(request_ids)


@pytest.mark.parametrize("condition", ["amqp:link:detach-forced", "com.microsoft:server-busy"])
async def test_a_link_that_is_detached_is_made_again(house: House, condition: str) -> None:
    async with house.worker():
        await all_links_open(house)
        send_again = await without_a_sender(house)
        for entity in (REQUESTS, REPLIES):
            house.broker.faults.refuse_attaches(entity, condition="com.microsoft:server-busy", times=1)
            assert house.broker.faults.detach_links(entity, condition=condition, description="on request") >= 3
        await house.broker.until(lambda facts: facts.links < 3 * LINKS_OF_A_WORKER)
        send_again()
        await answered(house, await house.ask())


async def test_an_expired_token_for_the_bus_is_replaced(house: House) -> None:
    async with house.worker():
        await all_links_open(house)
        send_again = await without_a_sender(house)
        house.broker.faults.refuse_tokens(times=4)
        for entity in (REQUESTS, REPLIES):
            house.broker.faults.detach_links(
                entity, condition="amqp:unauthorized-access", description="ExpiredToken: the token has expired."
            )
        await house.broker.until(lambda facts: facts.links < 3 * LINKS_OF_A_WORKER)
        send_again()
        await answered(house, await house.ask())


class TestSilence:
    """TCP stays open, and nothing comes on it."""

    @pytest.fixture(autouse=True)
    def impatience(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Half a second instead of fifteen, and for an answer instead of five."""
        for module, names in (
            (lanes, ("SILENT_S", "SETTLE_S", "RENEW_S")),
            (receiving, ("ANSWER_S",)),
            (reply_session, ("SILENT_S", "ANSWER_S", "SETTLE_S")),
            (writer, ("FIRST_SEND_S",)),
            (links, ("CLOSE_S",)),
        ):
            for name in names:
                monkeypatch.setattr(module, name, 0.5)

    async def test_while_idle_it_is_found_out_and_the_next_request_answered(self, brief_house: House) -> None:
        """The broker first gives it to the dead connection, once for each lane, until that lock ends."""
        house = brief_house
        async with house.worker(servicebus={"lock_s": 5}, worker={"concurrency": 1}) as worker:
            await house.broker.until(lambda facts: facts.connections >= 1 + LINKS_BESIDE_LANES)
            send_again = await without_a_sender(house)
            house.broker.faults.silence_connections()
            silent_at = now()
            send_again()
            await answered(house, await house.ask())
            told("answered", silent_at)
            await until_ready(worker)
            house.broker.faults.end_silence()

    async def test_with_requests_in_flight_each_is_answered_once(self, brief_house: House) -> None:
        house = brief_house
        house.flow.script("flow", Echo(after_s=0.5))
        async with house.worker(servicebus={"lock_s": 5}):
            await all_links_open(house)
            request_ids = [await house.ask() for _ in range(5)]
            await house.flow.calls.until(5)
            send_again = await without_a_sender(house)
            house.broker.faults.silence_connections()
            silent_at = now()
            for request_id in request_ids:
                await answered(house, request_id)
            told("answered", silent_at)
            send_again()
            await house.request_queue_empty(within_s=GENEROUS_S)
            house.broker.faults.end_silence()
        assert len(house.flow.calls) == 5
        assert len(house.broker.facts.messages(REPLIES)) == 5


async def test_callers_keep_waiting_through_an_outage_and_get_their_own_answers(house: House) -> None:
    house.flow.script("flow", Echo(after_s=0.5))
    async with (
        house.worker(),
        Requester(connection_string=house.broker.connection_string, default_timeout_s=50.0) as requester,
    ):
        bodies = [f"{number}".encode() for number in range(10)]
        asking = asyncio.gather(*(requester.request(body) for body in bodies))
        await house.flow.calls.until(5)
        house.broker.faults.refuse_connections()
        house.broker.faults.cut_connections()
        await house.flow.calls.until(5)
        await house.broker.faults.admit_connections()
        back_at = now()
        assert [reply.body for reply in await asking] == bodies
        told("all answered after the broker came back", back_at)
        assert requester.statistics.reconnects > 0


async def test_a_message_that_cannot_be_read_hinders_nobody(house: House) -> None:
    with structlog.testing.capture_logs() as logged:
        async with house.worker(worker={"concurrency": 2}) as worker:
            await house.broker.until(lambda facts: facts.connections >= 2 + LINKS_BESIDE_LANES)
            for number in range(3):
                await put_unreadable(house.broker, REQUESTS, message_id=f"unreadable-{number}")
            house.flow.script("flow", Answer())
            for request_id in [await house.ask() for _ in range(3)]:
                await answered(house, request_id)
            assert (await readyz(worker))[0] == 200
            await house.broker.until(lambda facts: facts.counts(REQUESTS).locked == 3)
    events = [entry["event"] for entry in logged]
    assert events.count("message_unreadable") == 3
    assert "lane_failed" not in events, "it counts as no outage"
