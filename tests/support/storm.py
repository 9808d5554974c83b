"""Five flows in trouble at once, callers and one-way senders who want something of each, and what all of them saw."""

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final
from uuid import uuid4

from aiohttp import web
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient

from worker.emulator.server import EmbeddedBroker
from worker.requester import NoReply, Requester

HEALTHY, SLOW, THROTTLING, DYING, HANGING = NAMES = ("healthy", "slow", "throttling", "dying", "hanging")
REQUESTS: Final = "flow-requests"
DEAD_LETTERS: Final = f"{REQUESTS}/$DeadLetterQueue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """Of one storm. The dying flow is down for its second quarter. `one_way_per_s` is each flow's in trouble."""

    seconds: float = 30.0
    healthy_per_s: float = 20.0
    others_per_s: float = 6.0
    one_way_per_s: float = 2.0
    answer_s: float = 0.05
    slow_s: float = 3.0
    throttled_above: int = 3  # calls at once
    throttled_answer_s: float = 0.4
    hang_timeout_s: float = 5.0
    caller_timeout_s: float = 15.0
    breaker_open_s: float = 3.0


@dataclass(slots=True)
class Seen:
    """Of one flow: by its callers, and at its own door."""

    asked: int = 0
    one_way: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    elapsed_ms: list[float] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)  # by idempotency key
    refusals: int = 0  # calls that surely started no run
    in_flight: int = 0
    peak: int = 0


class StormFlows:
    """`is_down` is the dying flow's; everything hangs up when the server stops."""

    def __init__(self, weather: Weather) -> None:
        self.weather = weather
        self.seen = {name: Seen() for name in NAMES}
        self.is_down = False
        self.url = ""
        self._runs = itertools.count(1)

    async def called(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        body, seen, weather = await request.read(), self.seen[name], self.weather
        seen.calls[request.headers["Idempotency-Key"]] += 1
        seen.in_flight += 1
        seen.peak = max(seen.peak, seen.in_flight)
        try:
            if name == DYING and self.is_down:
                return self._refused(seen, 503, "ServiceUnavailable")
            if name == THROTTLING and seen.in_flight > weather.throttled_above:
                return self._refused(seen, 429, "WorkflowTriggerRunsThrottled", {"Retry-After": "1"})
            if name == HANGING:
                await asyncio.Event().wait()
            takes_s = {SLOW: weather.slow_s, THROTTLING: weather.throttled_answer_s}.get(name, weather.answer_s)
            await asyncio.sleep(takes_s)
            return web.Response(body=body, headers={"x-ms-workflow-run-id": f"run-{next(self._runs)}"})
        finally:
            seen.in_flight -= 1

    def _refused(self, seen: Seen, status: int, code: str, headers: Mapping[str, str] | None = None) -> web.Response:
        seen.refusals += 1
        body = json.dumps({"error": {"code": code, "message": "in the storm"}})
        return web.Response(status=status, text=body, content_type="application/json", headers=headers)

    def settings(self) -> list[dict[str, Any]]:
        """`[[flows]]` for a worker; nothing of it is there to make the storm milder but the circuit's open time."""
        flow = {"auth": "none", "breaker": {"open_s": self.weather.breaker_open_s}}
        timeouts = {HANGING: {"timeout_s": self.weather.hang_timeout_s}}
        return [{"name": name, "url": f"{self.url}/{name}", **flow, **timeouts.get(name, {})} for name in NAMES]


@asynccontextmanager
async def storm_flows(weather: Weather) -> AsyncIterator[StormFlows]:
    flows = StormFlows(weather)
    application = web.Application()
    application.router.add_post("/{name}", flows.called)
    runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        flows.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield flows
    finally:
        await runner.cleanup()


async def ask_steadily(requester: Requester, seen: Seen, name: str, *, per_s: float, weather: Weather) -> None:
    """A request is due whether or not those before are answered; each must have its own answer."""
    loop = asyncio.get_running_loop()
    began = loop.time()

    async def ask(number: int) -> None:
        body = f"{name}/{number}/{uuid4()}".encode()
        asked_at = loop.time()
        try:
            reply = await requester.request(body, flow=name, timeout_s=weather.caller_timeout_s)
        except NoReply:
            seen.outcomes["no reply"] += 1
            return
        is_foreign = reply.outcome == "answered" and reply.body != body
        seen.outcomes["foreign" if is_foreign else reply.outcome] += 1
        seen.elapsed_ms.append((loop.time() - asked_at) * 1000)

    async with asyncio.TaskGroup() as asking:
        for number in range(round(per_s * weather.seconds)):
            await asyncio.sleep(max(0.0, began + number / per_s - loop.time()))
            seen.asked += 1
            asking.create_task(ask(number))


async def send_steadily(client: ServiceBusClient, flows: StormFlows) -> None:
    """One-way requests for the four in trouble."""
    weather, names = flows.weather, itertools.cycle(NAMES[1:])
    async with client.get_queue_sender(REQUESTS) as sender:
        for name in itertools.islice(names, round(4 * weather.one_way_per_s * weather.seconds)):
            flows.seen[name].one_way += 1
            message = ServiceBusMessage(b"{}", message_id=str(uuid4()), application_properties={"flow": name})
            await sender.send_messages(message)
            await asyncio.sleep(1 / (4 * weather.one_way_per_s))


async def dying_and_returning(flows: StormFlows) -> None:
    quarter_s = flows.weather.seconds / 4
    await asyncio.sleep(quarter_s)
    flows.is_down = True
    await asyncio.sleep(quarter_s)
    flows.is_down = False


@asynccontextmanager
async def warm_requester(broker: EmbeddedBroker, flows: StormFlows) -> AsyncIterator[Requester]:
    """Of the healthy flow, once every connection on the way has been made."""
    async with Requester(connection_string=broker.connection_string) as requester:
        weather = replace(flows.weather, seconds=2.0)
        await ask_steadily(requester, Seen(), HEALTHY, per_s=weather.healthy_per_s, weather=weather)
        yield requester


async def calm(broker: EmbeddedBroker, flows: StormFlows) -> Seen:
    """The healthy flow alone, at the same rate."""
    seen = Seen()
    async with warm_requester(broker, flows) as requester:
        await ask_steadily(requester, seen, HEALTHY, per_s=flows.weather.healthy_per_s, weather=flows.weather)
    return seen


async def storm(broker: EmbeddedBroker, flows: StormFlows) -> None:
    """Returns when every caller has its answer."""
    weather = flows.weather
    async with (
        warm_requester(broker, flows) as healthy,
        Requester(connection_string=broker.connection_string) as others,
        ServiceBusClient.from_connection_string(broker.connection_string) as client,
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(dying_and_returning(flows))
        tasks.create_task(send_steadily(client, flows))
        for name in NAMES:
            requester, per_s = (healthy, weather.healthy_per_s) if name == HEALTHY else (others, weather.others_per_s)
            tasks.create_task(ask_steadily(requester, flows.seen[name], name, per_s=per_s, weather=weather))


def flow_of(properties: Mapping[Any, Any]) -> str:
    return str(properties.get("flow"))


def queued(broker: EmbeddedBroker) -> Counter[str]:
    """One-way requests that wait for another try, by flow."""
    waiting = broker.facts.messages(REQUESTS)
    return Counter(flow_of(each.message.application_properties) for each in waiting if each.message.reply_to is None)


def dead(broker: EmbeddedBroker) -> Counter[tuple[str, str]]:
    """Dead letters by flow and reason."""
    return Counter(
        (flow_of(each.message.application_properties), str(each.added_properties["DeadLetterReason"]))
        for each in broker.facts.messages(DEAD_LETTERS)
    )
