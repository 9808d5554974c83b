"""The house that a campaign plays in: broker, flows' door and token endpoint in this process, workers in their own.

Whatever happens is told, as an occasion, to whoever waits for one: before any client hears of it.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from chaos.door import Door, open_door
from chaos.evidence import REPLIES, REQUESTS, request_id_of
from chaos.flows import (
    CALLER_S,
    CONCURRENCY,
    DRAIN_S,
    FLOWS,
    LANES,
    LOCK_S,
    MOST_DELIVERIES,
    REDELIVERY_S,
    REPLY_SENDERS,
    TOKEN_S,
)
from chaos.plan import Trigger
from chaos.workers import Fleet, Seat

from worker.emulator.broker import QueueProperties, Topology
from worker.emulator.faults import Occasion
from worker.emulator.server import Delivered, EmbeddedBroker, Enqueued, Record, Settled
from worker.emulator.standins import IdentityStandIn, Issue

ISSUES: Final = Issue(lifetime_s=TOKEN_S)
CONFIRMED_S: Final = 0.01  # after the broker accepted a message, its sender knows
TOPOLOGY: Final = Topology(
    queues=(
        QueueProperties(
            name=REQUESTS,
            lock_s=LOCK_S,
            max_delivery_count=MOST_DELIVERIES,
            dead_letters_on_expiry=True,
            duplicate_window_s=120.0,
        ),
        QueueProperties(name=REPLIES, requires_session=True, duplicate_window_s=120.0),
    )
)

Tell = Callable[[Trigger, str | None, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Connections:
    """Of one worker. A sender that has nothing to send doesn't notice that it has lost its own."""

    requests: int
    replies: int
    all: int

    @property
    def are_right(self) -> bool:
        is_complete = self.requests in LANES or self.requests - 1 in LANES  # one sends copies
        return is_complete and self.replies <= REPLY_SENDERS and self.all == self.requests + self.replies


@dataclass(slots=True, kw_only=True)
class Stage:
    """`listener` hears of every occasion: what, at which worker, about which branch or request."""

    broker: EmbeddedBroker
    door: Door
    identity: IdentityStandIn
    fleet: Fleet
    listener: Tell | None = None
    _seen: int = 0
    _receivers: dict[str, str | None] = field(default_factory=dict)  # by lock

    def tell(self, trigger: Trigger, by: str | None, about: str) -> None:
        if self.listener is not None and by is not None:
            self.listener(trigger, by, about)

    def forget(self) -> None:
        """Between rounds, when nothing is under way."""
        self.broker.facts.forget_history()
        self.door.forget()
        self.fleet.forget()
        self._receivers.clear()
        self._seen = 0

    def connection_string(self, name: str) -> str:
        """The broker takes any key; its name says who is who."""
        return self.broker.connection_string.replace("RootManageSharedAccessKey", name)

    def held_by(self, worker: str) -> list[str]:
        """Branches whose lock it has, as the broker sees it."""
        return [
            each.message.message_id or ""
            for each in self.broker.facts.messages(REQUESTS)
            if each.lock_token is not None and self._receivers.get(str(each.lock_token)) == worker
        ]

    def look(self) -> None:
        history = self.broker.facts.history
        while self._seen < len(history):
            record = history[self._seen]
            self._seen += 1
            self._tell_of(record)

    def _tell_of(self, record: Record) -> None:
        match record:
            case Delivered(entity=entity) if entity == REQUESTS:
                self._receivers[str(record.lock_token)] = record.by
                self.tell(Trigger.DELIVERED, record.by, record.message_id or "")
            case Settled(entity=entity) if entity == REQUESTS:
                self.tell(Trigger.SETTLED, self._receivers.get(str(record.lock_token)), record.message_id or "")
            case Enqueued(entity=entity) if entity in {REQUESTS, REPLIES}:
                is_reply = entity == REPLIES
                taken, confirmed = (
                    (Trigger.REPLY_TAKEN, Trigger.REPLY_CONFIRMED)
                    if is_reply
                    else (Trigger.COPY_TAKEN, Trigger.COPY_CONFIRMED)
                )
                about = request_id_of(record.message)
                self.tell(taken, record.by, about)
                asyncio.get_running_loop().call_later(CONFIRMED_S, self.tell, confirmed, record.by, about)
            case _:
                pass

    def notice(self, occasion: Occasion, entity: str, by: str | None) -> None:
        match occasion:
            case Occasion.SEND if entity == REPLIES:
                self.tell(Trigger.REPLY_SENT, by, "")
            case Occasion.SEND:
                self.tell(Trigger.COPY_SENT, by, "")
            case Occasion.DISPOSITION_DROPPED if entity == REQUESTS:
                self.tell(Trigger.SETTLING, by, "")
            case Occasion.CUT_AFTER_RENEWAL:
                self.tell(Trigger.RENEWAL, by, "")
            case Occasion.ATTACH:
                self.tell(Trigger.ATTACH, by, "")
            case _:
                pass

    async def follow_tokens(self) -> None:
        """Until cancelled. A worker asks with its name as client id."""
        for count in range(1, 1 << 62):
            requests = await self.identity.requests.until(count, within_s=86_400.0)
            self.tell(Trigger.TOKEN, requests[-1].client_id, "")

    def environment(self, name: str) -> Mapping[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("AZURE_", "FLOWBRIDGE_"))}
        settings: dict[str, Any] = {
            "servicebus": {
                "connection_string": self.connection_string(name),
                "lock_s": LOCK_S,
                "max_delivery_count": MOST_DELIVERIES,
            },
            "identity": {"client_id": name},
            "worker": {
                "concurrency": CONCURRENCY,
                "drain_s": DRAIN_S,
                "grace_s": DRAIN_S + 5,
                "redelivery_s": REDELIVERY_S,
                "default_timeout_s": CALLER_S,
            },
            "http": {"port": 0},
            "flows": [self._flow(flow, name) for flow in FLOWS],
        }
        sections = {f"FLOWBRIDGE_{section.upper()}": json.dumps(value) for section, value in settings.items()}
        return {**kept, "AZURE_POD_IDENTITY_AUTHORITY_HOST": self.identity.url, **sections}

    def _flow(self, flow: str, worker: str) -> dict[str, Any]:
        policy = FLOWS[flow]
        return {
            "name": flow,
            "url": self.door.url_of(flow, worker),
            "auth": policy.auth,
            "timeout_s": policy.call_s,
            "idempotent": policy.is_idempotent,
            "after_crash": policy.after_crash,
            "retry": {"first_s": 0.1, "max_s": 2.0},
            "breaker": {"window_s": 5, "open_s": 1},
        }

    def connections_of(self, worker: str) -> Connections:
        facts = self.broker.facts
        return Connections(
            requests=facts.connections_by(worker, entity=REQUESTS),
            replies=facts.connections_by(worker, entity=REPLIES),
            all=facts.connections_by(worker),
        )

    async def until_ready(self, *, within_s: float) -> None:
        """Every seat has a worker with the connections that it needs, and not one more. Raises TimeoutError."""
        async with asyncio.timeout(within_s):
            while not all(self.connections_of(name).are_right for name in self.fleet.workers):  # noqa: ASYNC110 - processes can't set our event
                await asyncio.sleep(0.05)


@asynccontextmanager
async def open_stage(*, workers: int, survivors: int = 1, planted: str | None = None) -> AsyncIterator[Stage]:
    """The last `survivors` seats are never killed."""
    seats = [Seat(name=f"w{number}", survives=number > workers - survivors) for number in range(1, workers + 1)]
    async with EmbeddedBroker(TOPOLOGY) as broker, IdentityStandIn() as identity:
        identity.script(ISSUES)
        async with open_door() as door:
            stage = Stage(broker=broker, door=door, identity=identity, fleet=Fleet(seats=seats, planted=planted))
            door.tell, stage.fleet.environment_of = stage.tell, stage.environment
            broker.faults.listeners.append(stage.notice)
            following = asyncio.create_task(stage.follow_tokens())
            try:
                with broker.facts.watched(stage.look):
                    await stage.fleet.start()
                    yield stage
            finally:
                following.cancel()
                await stage.fleet.end()
