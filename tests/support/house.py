"""The whole house over real sockets: broker, flow and identity stand-ins, worker, raw senders and receivers."""

import asyncio
import gc
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from azure.servicebus import ServiceBusMessage, ServiceBusReceivedMessage, TransportType
from azure.servicebus.aio import ServiceBusClient, ServiceBusSender
from flow.certificates import ThrowAwayAuthority

from worker.app import assembled, drained
from worker.bridge.observed import Observed
from worker.bridge.pump import Pump
from worker.emulator.broker import BrokeredMessage, QueueProperties, Topology
from worker.emulator.server import Auth, EmbeddedBroker
from worker.emulator.server.embedded import ANYONE
from worker.emulator.standins import FlowStandIn, IdentityStandIn, Recorded
from worker.settings import Settings, load
from worker.stop import Stop

REQUESTS = "flow-requests"
REPLIES = "flow-replies"
DEAD_LETTERS = f"{REQUESTS}/$DeadLetterQueue"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningWorker:
    pump: Pump
    stop: Stop
    ended: Recorded[Observed]
    http_port: int
    draining: asyncio.Task[bool]

    async def ended_as(self, request_id: str, *, within_s: float = 15.0) -> Observed:
        """The record of the request's last delivery, once there is one."""
        records = await self.ended.until(1, where=lambda each: each.request_id == request_id, within_s=within_s)
        return records[-1]


@dataclass(slots=True, kw_only=True)
class House:
    broker: EmbeddedBroker
    flow: FlowStandIn
    identity: IdentityStandIn
    client: ServiceBusClient
    sender: ServiceBusSender
    sending: asyncio.Lock = field(default_factory=asyncio.Lock)
    closing: list[asyncio.Task[None]] = field(default_factory=list)

    def settings(self, *flows: Mapping[str, Any], **sections: Any) -> Settings:
        """One flow on the workflow `flow`, unless told otherwise; sections are merged over the defaults."""
        document: dict[str, Any] = {
            "servicebus": {"connection_string": self.broker.connection_string},
            "http": {"port": 0},
            "flows": [{"url": self.flow.url_of(str(each.get("name", "flow"))), **each} for each in flows or ({},)],
        }
        for section, keys in sections.items():
            document[section] = {**document.get(section, {}), **keys} if isinstance(keys, Mapping) else keys
        return load_document(document)

    @asynccontextmanager
    async def worker(
        self, *flows: Mapping[str, Any], is_expected_to_receive: bool = True, **sections: Any
    ) -> AsyncIterator[RunningWorker]:
        """A worker in this process that receives; drained at the end of the block."""
        settings = self.settings(*flows, **sections)
        ended: Recorded[Observed] = Recorded()
        stop = Stop()
        async with assembled(settings, observe=ended.add) as worker:
            draining = asyncio.create_task(drained(worker, stop, drain_s=settings.worker.drain_s))
            try:
                while worker.pump.facts.lanes_receiving == 0 and is_expected_to_receive:
                    await asyncio.wait({draining}, timeout=0.02)
                    if draining.done():
                        draining.result()
                yield RunningWorker(
                    pump=worker.pump, stop=stop, ended=ended, http_port=worker.http_port, draining=draining
                )
            finally:
                stop.request()
                await draining

    async def send(self, body: bytes = b'{"n":1}', **fields: Any) -> str:
        """A request with a fresh message id, unless `fields` gives one; returns its id."""
        message_id = fields.pop("message_id", None) or str(uuid4())
        async with self.sending:  # a sender bears one send at a time
            await self.sender.send_messages(ServiceBusMessage(body, message_id=message_id, **fields))
        return message_id

    async def ask(self, body: bytes = b'{"n":1}', *, session: str | None = None, **fields: Any) -> str:
        """As `send`, with a return address: the default reply queue and a session of its own, named like its id."""
        message_id = fields.pop("message_id", None) or str(uuid4())
        fields.setdefault("reply_to", REPLIES)
        return await self.send(body, message_id=message_id, reply_to_session_id=session or message_id, **fields)

    async def reply(self, session: str, *, within_s: float = 15.0) -> ServiceBusReceivedMessage:
        """The one reply in the session; completes it."""
        await self.broker.until(
            lambda facts: any(each.message.session_id == session for each in facts.messages(REPLIES)),
            timeout_s=within_s,
        )
        receiver = self.client.get_queue_receiver(REPLIES, session_id=session)
        (reply,) = await receiver.receive_messages(max_message_count=1, max_wait_time=5)
        await receiver.complete_message(reply)
        self.closing.append(asyncio.create_task(receiver.close()))  # it takes a second
        return reply

    def replies_in(self, session: str) -> list[BrokeredMessage]:
        return [each for each in self.broker.facts.messages(REPLIES) if each.message.session_id == session]

    async def dead_letter(self, message_id: str, *, within_s: float = 15.0) -> tuple[str, str]:
        """Reason and description of the request's dead letter, once there is one."""

        def found(messages: list[BrokeredMessage]) -> list[BrokeredMessage]:
            return [each for each in messages if each.message.message_id == message_id]

        await self.broker.until(lambda facts: bool(found(facts.messages(DEAD_LETTERS))), timeout_s=within_s)
        (dead,) = found(self.broker.facts.messages(DEAD_LETTERS))
        reason = dead.added_properties["DeadLetterReason"]
        description = dead.added_properties["DeadLetterErrorDescription"]
        assert isinstance(reason, str)
        assert isinstance(description, str)
        return reason, description

    async def request_queue_empty(self, *, within_s: float = 15.0) -> None:
        await self.broker.until(lambda facts: not facts.messages(REQUESTS), timeout_s=within_s)


def load_document(document: Mapping[str, Any]) -> Settings:
    """Settings from the shape of the TOML file, checked like one."""
    import orjson

    environ = {f"FLOWBRIDGE_{section.upper()}": orjson.dumps(value).decode() for section, value in document.items()}
    return load(None, environ)


@asynccontextmanager
async def open_house(
    *,
    lock_s: float = 60.0,
    duplicate_window_s: float | None = 600.0,
    request_sessions: bool = False,
    auth: Auth = ANYONE,
    authority: ThrowAwayAuthority | None = None,
) -> AsyncIterator[House]:
    """With an authority all connections to the broker are TLS, and whoever trusts its `pem` may make one."""
    topology = Topology(
        queues=(
            QueueProperties(
                name=REQUESTS,
                lock_s=lock_s,
                dead_letters_on_expiry=True,
                requires_session=request_sessions,
                duplicate_window_s=duplicate_window_s,
            ),
            QueueProperties(name=REPLIES, requires_session=True, duplicate_window_s=duplicate_window_s),
        )
    )
    tls = None if authority is None else authority.server_context("127.0.0.1", "localhost")
    async with (
        EmbeddedBroker(topology, auth=auth, tls=tls) as broker,
        FlowStandIn() as flow,
        IdentityStandIn() as identity,
    ):
        flow.script("flow")
        async with ServiceBusClient.from_connection_string(
            broker.connection_string, **_own_way(broker, authority)
        ) as client:
            house = House(
                broker=broker, flow=flow, identity=identity, client=client, sender=client.get_queue_sender(REQUESTS)
            )
            yield house
            await asyncio.gather(*house.closing, house.sender.close())
    gc.collect()  # what the SDK left open, while this test still answers for it


def _own_way(broker: EmbeddedBroker, authority: ThrowAwayAuthority | None) -> dict[str, Any]:
    """Of the house's client, which is no part of what is tested: the SDK hears a port beside TLS only here."""
    if authority is None:
        return {}
    return {
        "ssl_context": ssl.create_default_context(cafile=authority.pem),
        "custom_endpoint_address": f"sb://127.0.0.1:{broker.port}",
        "transport_type": TransportType.Amqp,
    }


def property_of(message: ServiceBusReceivedMessage, name: str) -> Any:
    """An application property, its text decoded."""
    properties = message.application_properties or {}
    value = properties.get(name.encode(), properties.get(name))
    return value.decode() if isinstance(value, bytes) else value


def body_of(message: ServiceBusReceivedMessage) -> bytes:
    return b"".join(message.body)
