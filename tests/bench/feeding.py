"""A process that sends requests, so that sending costs the measured process nothing."""

import asyncio
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Final

from azure.servicebus import ServiceBusMessage
from bench.rig import pin

from worker.servicebus.connect import Bus, BusOptions

BODY: Final = b"x" * 500
_BATCH: Final = 100


def feeder(core: int | None) -> ProcessPoolExecutor:
    """The process in which to call `feed`."""
    return ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn"), initializer=pin, initargs=(core,))


def feed(connection_string: str, count: int, per_s: float | None = None, sessions: int = 0) -> None:
    """Requests into `flow-requests`: in batches as fast as they go, or one by one at a rate.

    With `sessions`, they ask for answers into so many sessions of `flow-replies`, in turn.
    """
    asyncio.run(_feed(connection_string, count, per_s, sessions))


async def _feed(connection_string: str, count: int, per_s: float | None, sessions: int) -> None:
    async with Bus(BusOptions(connection_string=connection_string)) as bus, bus.sender("flow-requests") as sender:
        if per_s is None:
            for first in range(0, count, _BATCH):
                batch = range(first, min(first + _BATCH, count))
                await sender.send_messages([_request(number, sessions) for number in batch])
            return
        started = time.perf_counter()
        for number in range(count):
            await asyncio.sleep(max(0.0, started + number / per_s - time.perf_counter()))
            await sender.send_messages(_request(number, sessions))


def _request(number: int, sessions: int) -> ServiceBusMessage:
    return ServiceBusMessage(
        BODY,
        message_id=f"{time.time_ns()}-{number}",
        application_properties={"timeout-s": 600},
        reply_to="flow-replies" if sessions else None,
        reply_to_session_id=f"s{number % sessions}" if sessions else None,
    )
