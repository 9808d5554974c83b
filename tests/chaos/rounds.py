"""One round: load and harms by its plan; then nothing stands in anybody's way, and everything comes to its end."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from azure.servicebus import ServiceBusReceiveMode
from azure.servicebus.aio import ServiceBusClient
from chaos.callers import NAME, Callers
from chaos.evidence import DEAD_LETTERS, REQUESTS, dead_letters_of, events_of
from chaos.fleet_laws import HELD_UP
from chaos.harms import Harms
from chaos.plan import Plan
from chaos.records import Harm, Round
from chaos.stage import Connections, Stage

DRAINED_S = 150.0  # the bound of liveness: a copy may wait two minutes for its turn (README, "Limits")
READY_S = 25.0
LAST_WORDS_S = 0.3  # after the queue is empty: what is still being confirmed, or said in a log
LAG_EVERY_S = 0.05
LAG_S = 0.7  # of this process: then locks may be lost by its fault


@dataclass(slots=True, kw_only=True)
class Played:
    """`drained_s`: from the end of the load to the last request's end; `not_ready`: connections that weren't right."""

    record: Round
    drained_s: float
    not_ready: dict[str, Connections] = field(default_factory=dict)


async def play(stage: Stage, callers: Callers, plan: Plan) -> Played:
    harms = Harms(stage=stage)
    stage.listener = harms.hear
    began = asyncio.get_running_loop().time()
    async with _watched_lag(harms.done):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_do_harm(plan, harms, began))
            sending = [tasks.create_task(_send(callers, plan, index, began)) for index in range(len(plan.asked))]
            await _until(began + plan.load_s)
            await harms.end()
            stage.listener = None
            loaded = asyncio.get_running_loop().time()
            left = await _drained(stage, sending)
            drained_s = asyncio.get_running_loop().time() - loaded
            for task in sending:
                task.cancel()
        not_ready = await _not_ready(stage)
        await asyncio.sleep(LAST_WORDS_S)
    record = Round(
        asked={asked.request_id: asked for asked in plan.asked},
        events=events_of(stage.broker.facts.history),
        calls=list(stage.door.calls),
        lines=list(stage.fleet.lines),
        harms=harms.done,
        lives=list(stage.fleet.lives),
        dead=dead_letters_of(stage.broker.facts.messages(DEAD_LETTERS)),
        left=left,
        ended_at=time.time(),
    )
    return Played(record=record, drained_s=drained_s, not_ready=not_ready)


async def clear(stage: Stage) -> None:
    """What a round leaves behind is not the next one's."""
    async with (
        ServiceBusClient.from_connection_string(stage.connection_string(NAME)) as client,
        client.get_queue_receiver(DEAD_LETTERS, receive_mode=ServiceBusReceiveMode.RECEIVE_AND_DELETE) as receiver,
    ):
        while stage.broker.facts.messages(DEAD_LETTERS):
            await receiver.receive_messages(max_message_count=200, max_wait_time=1)
    stage.forget()


async def _send(callers: Callers, plan: Plan, index: int, began: float) -> None:
    asked = plan.asked[index]
    await _until(began + asked.at_s)
    await callers.send(asked)


async def _do_harm(plan: Plan, harms: Harms, began: float) -> None:
    for planned in plan.harms:
        await _until(began + planned.at_s)
        harms.arm(planned)


async def _until(at: float) -> None:
    await asyncio.sleep(max(0.0, at - asyncio.get_running_loop().time()))


async def _drained(stage: Stage, sending: list[asyncio.Task[None]]) -> list[str]:
    """The branches that are left when the time is over."""

    def is_so() -> bool:
        counts = stage.broker.facts.counts(REQUESTS)
        return not (counts.ready or counts.locked or counts.scheduled) and all(task.done() for task in sending)

    with suppress(TimeoutError):
        async with asyncio.timeout(DRAINED_S):
            while not is_so():  # noqa: ASYNC110 - it is about two things
                await asyncio.sleep(0.05)
    return [each.message.message_id or "" for each in stage.broker.facts.messages(REQUESTS)]


async def _not_ready(stage: Stage) -> dict[str, Connections]:
    """Of each worker that hasn't exactly what it needs."""
    try:
        await stage.until_ready(within_s=READY_S)
    except TimeoutError:
        connections = {name: stage.connections_of(name) for name in stage.fleet.workers}
        return {name: found for name, found in connections.items() if not found.are_right}
    return {}


@asynccontextmanager
async def _watched_lag(harms: list[Harm]) -> AsyncIterator[None]:
    async def watch() -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LAG_EVERY_S
            await asyncio.sleep(LAG_EVERY_S)
            lag_s = loop.time() - due
            if lag_s > LAG_S:
                harms.append(Harm(kind=HELD_UP, at=time.time() - lag_s, until=time.time()))

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
