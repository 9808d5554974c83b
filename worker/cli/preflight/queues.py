"""Can each link be opened that the worker will want?"""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

from worker.app import lane_sources
from worker.cli.finding import Finding, failed, hint, ok
from worker.cli.preflight.azure import Azure
from worker.cli.preflight.entities import entities
from worker.cli.preflight.mending import Mending
from worker.core.roles import Need, Queue, Right, needs_of_callers, needs_of_worker
from worker.servicebus import probe
from worker.servicebus.connect import Bus, Source
from worker.servicebus.faults import Fault
from worker.settings import Settings

LOCK_TOLERANCE_S: Final = 3.0  # this machine's clock is another one than the broker's


async def queues(settings: Settings, bus: Bus, azure: Azure, *, round_trip: bool) -> list[Finding]:
    named, mending = entities(settings), Mending(settings=settings, azure=azure)
    needs = {(need.right, need.entity): need for need in needs_of_worker(named)}
    callers = {need.entity: need for need in needs_of_callers(named)}
    looks: list[Coroutine[Any, Any, list[Finding]]] = [
        _source(settings, bus, source, needs[Right.RECEIVE, entity], mending)
        for source, entity in zip(dict.fromkeys(lane_sources(settings)), named.sources, strict=True)
    ]
    looks += [_sender(bus, queue, "send replies", needs[Right.SEND, queue], mending) for queue in named.replies]
    looks += [_session(bus, queue, callers[queue], mending, is_needed=round_trip) for queue in named.replies]
    if (copies := named.copies) is not None:
        looks.append(_sender(bus, copies, "send requests for later", needs[Right.SEND, copies], mending))
    return [finding for found in await asyncio.gather(*looks) for finding in found]


async def _source(settings: Settings, bus: Bus, source: Source, need: Need, mending: Mending) -> list[Finding]:
    names = settings.servicebus
    seen = await probe.request_source(bus, source, has_sessions=names.request_sessions)
    found = [_judged(seen, need, mending)]
    if seen.locked_s is not None and abs(seen.locked_s - names.lock_s) > LOCK_TOLERANCE_S:
        lasts = f"a lock on a session of {source} lasts about {seen.locked_s:.0f} s, and lock_s says {names.lock_s:g} s"
        found.append(hint("lock duration", f"{lasts}; set lock_s as the queue has it (or mend this host's clock)"))
    return found


async def _sender(bus: Bus, queue: Queue, purpose: str, need: Need, mending: Mending) -> list[Finding]:
    return [_judged(await probe.sender_link(bus, queue.name, purpose), need, mending)]


async def _session(bus: Bus, queue: Queue, need: Need, mending: Mending, *, is_needed: bool) -> list[Finding]:
    """The worker itself never listens on a reply queue; its callers do, perhaps with other credentials."""
    seen = await probe.reply_session(bus, queue.name)
    if seen.fault is Fault.NOT_ALLOWED and not is_needed:
        return [hint(seen.name, "not allowed to listen here; only callers need to")]
    return [_judged(seen, need, mending)]


def _judged(seen: probe.Finding, need: Need, mending: Mending) -> Finding:
    if seen.ok:
        return ok(seen.name, seen.detail, entity=need.entity.path)
    why = seen.detail.removeprefix(f"To {seen.name} failed: ")
    mend = mending.command_for(seen.fault, need)
    return failed(seen.name, why, mend=mend, entity=need.entity.path, fault=seen.fault)
