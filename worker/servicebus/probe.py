"""What `flowbridge check` asks of the bus: can each link be opened? Takes no message and never raises."""

import time
import uuid
from dataclasses import dataclass

from azure.servicebus.aio import ServiceBusReceiver, ServiceBusSender

from worker.core.failures import BusFailure
from worker.servicebus.connect import TRY_S, Bus, QueueSource, Source
from worker.servicebus.failures import explain
from worker.servicebus.faults import Fault, fault_of
from worker.servicebus.links import discard, open_link


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`detail`: what was seen and, where `ok` is false, what to do; `fault` says the same to programs.

    `locked_s`: how long a lock on the session that was accepted lasts, by this machine's clock; None without.
    """

    name: str
    ok: bool
    detail: str
    fault: Fault | None = None
    locked_s: float | None = None


async def request_source(bus: Bus, source: Source, *, has_sessions: bool = False) -> Finding:
    """A receiver link, and a look at the first message without locking it; or a session that nobody uses."""
    if has_sessions:
        session = bus.receiver(source, session_id=_unused_session())
        return await _finding(f"accept a session of {source}", session)
    return await _finding(f"receive requests from {source}", bus.receiver(source), peeks=True)


async def sender_link(bus: Bus, queue: str, purpose: str) -> Finding:
    """`purpose`: what is sent there, such as "send replies"."""
    return await _finding(f"{purpose} to queue '{queue}'", bus.sender(queue))


async def reply_session(bus: Bus, queue: str) -> Finding:
    """Accepts a session that nobody uses; only a queue that requires sessions allows it. Needs the right to listen."""
    receiver = bus.receiver(QueueSource(queue=queue), session_id=_unused_session())
    return await _finding(f"accept a reply session of queue '{queue}'", receiver)


def _unused_session() -> str:
    return f"flowbridge-check-{uuid.uuid4()}"


async def _finding(name: str, link: ServiceBusReceiver | ServiceBusSender, *, peeks: bool = False) -> Finding:
    try:
        await open_link(link, f"To {name}")
        locked_s = _locked_s(link)
        if peeks and isinstance(link, ServiceBusReceiver):
            await link.peek_messages(timeout=TRY_S)
    except Exception as error:  # noqa: BLE001 - the SDK lets errors of every kind escape; each is a finding
        detail = str(explain(error, f"To {name}"))
        return Finding(name=name, ok=False, detail=detail, fault=fault_of(_as_it_came(error)))
    finally:
        await discard(link)
    return Finding(name=name, ok=True, detail="ok", locked_s=locked_s)


def _as_it_came(error: Exception) -> Exception:
    """The SDK's own error, where it has been put into words already."""
    return error.__cause__ if isinstance(error, BusFailure) and isinstance(error.__cause__, Exception) else error


def _locked_s(link: ServiceBusReceiver | ServiceBusSender) -> float | None:
    session = link.session if isinstance(link, ServiceBusReceiver) else None
    until = None if session is None else session.locked_until_utc
    return None if until is None else until.timestamp() - time.time()
