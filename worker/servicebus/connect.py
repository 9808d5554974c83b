"""One namespace, and how its links are made."""

import asyncio
import contextlib
import ssl
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeAlias
from urllib.parse import urlsplit

import certifi
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.settings import settings
from azure.servicebus import NEXT_AVAILABLE_SESSION, TransportType, parse_connection_string
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver, ServiceBusSender

from worker.core.failures import Misconfigured
from worker.servicebus.leftovers import overlook_leftovers
from worker.timers import TimeLimits

TRY_S: Final = 15.0  # one attempt at anything that waits for the broker; without it the SDK's waits are unbounded
SETTLE_S: Final = 5.0  # until the broker has confirmed a settlement; the SDK's own is 60 s, beyond any drain
CLOSE_S: Final = 4.0  # closing takes up to 1.3 s, and longer only where the peer is silent

# How long a read holds the connection's one lock, and so the grain of a receive's wait. An idle receiver takes 0.4 % of
# a core. The SDK's own is 0.2 s, and 1 s on web sockets, for which every settlement and every stop would wait.
POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class BusOptions:
    """Either a connection string of the whole namespace, or its host name with a credential; both may name a port."""

    connection_string: str | None = field(default=None, repr=False)
    namespace: str | None = None
    credential: AsyncTokenCredential | None = field(default=None, repr=False)
    transport: Literal["amqp", "websockets"] = "amqp"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSource:
    queue: str

    def __str__(self) -> str:
        return f"queue '{self.queue}'"


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionSource:
    topic: str
    subscription: str

    def __str__(self) -> str:
        return f"subscription '{self.subscription}' of topic '{self.topic}'"


Source: TypeAlias = QueueSource | SubscriptionSource


class Bus:
    """Makes links; each has a connection of its own, opened when the link is. Raises `Misconfigured`.

    `limits`: for whatever is asked of a link, inside the `async with`.
    """

    limits: TimeLimits

    def __init__(self, options: BusOptions) -> None:
        self._client = _client(options)
        self._uses_web_sockets = options.transport == "websockets"
        # The time-out reaches the settlement's wait, though undocumented.
        self._link_options: dict[str, Any] = {"timeout": SETTLE_S, "socket_timeout": POLL_S}

    @property
    def namespace(self) -> str:
        return self._client.fully_qualified_namespace

    async def __aenter__(self) -> Self:
        self.limits = TimeLimits()
        _settle_tracing()
        overlook_leftovers(with_web_sockets=self._uses_web_sockets)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(Exception):
            async with asyncio.timeout(CLOSE_S):
                await self._client.close()

    def receiver(self, source: Source, *, session_id: str | None = None, window: int = 1) -> ServiceBusReceiver:
        """`window`: how many messages it asks for at once. The SDK asks for one more than its prefetch count."""
        options: dict[str, Any] = {**self._link_options, "prefetch_count": window - 1}
        if session_id is not None:
            options["session_id"] = session_id
        return self._receiver(source, options)

    def next_session(self, source: Source, *, wait_s: float) -> ServiceBusReceiver:
        """A receiver that takes whichever session with messages is free, or comes free within `wait_s`."""
        options: dict[str, Any] = {"session_id": NEXT_AVAILABLE_SESSION, "max_wait_time": wait_s}
        return self._receiver(source, {**self._link_options, **options})

    def _receiver(self, source: Source, options: dict[str, Any]) -> ServiceBusReceiver:
        if isinstance(source, QueueSource):
            return self._client.get_queue_receiver(source.queue, **options)
        return self._client.get_subscription_receiver(source.topic, source.subscription, **options)

    def sender(self, queue: str) -> ServiceBusSender:
        return self._client.get_queue_sender(queue, **self._link_options)


def _client(options: BusOptions) -> ServiceBusClient:
    common: dict[str, Any] = {"retry_total": 0, "try_timeout": TRY_S, "logging_enable": False}
    is_amqp = options.transport == "amqp"
    common["transport_type"] = TransportType.Amqp if is_amqp else TransportType.AmqpOverWebsocket
    match options:
        case BusOptions(connection_string=str(text), namespace=None, credential=None) if text.strip():
            host = _host_of(text)
            is_plain = "usedevelopmentemulator=true" in text.lower()
            common["ssl_context"] = _trust()  # also without TLS the SDK would make one for each link
            if not (is_plain and is_amqp):
                common |= _port_of(host)
            return ServiceBusClient.from_connection_string(text, **common)
        case BusOptions(connection_string=None, namespace=str(namespace), credential=credential) if (
            namespace.strip() and credential is not None
        ):
            common |= _port_of(namespace.strip())
            return ServiceBusClient(namespace.strip(), credential, ssl_context=_trust(), **common)
        case _:
            raise Misconfigured(
                "The bus needs either a connection string, or a namespace (like contoso.servicebus.windows.net) with a "
                "credential."
            )


def _settle_tracing() -> None:
    """What is configured, or in the environment: the SDK looks there four times for each message, 1 µs each."""
    settings.tracing_implementation.set_value(settings.tracing_implementation())


def _port_of(host: str) -> dict[str, str]:
    """The SDK hears a port in a host only where it speaks AMQP without TLS; elsewhere as a custom endpoint."""
    try:
        has_port = urlsplit(f"//{host}").port is not None
    except ValueError:
        raise Misconfigured(
            f"The broker's port can't be read. Expected HOST or HOST:PORT, got {host!r:.100}."
        ) from None
    return {"custom_endpoint_address": f"sb://{host}"} if has_port else {}


def _host_of(text: str) -> str:
    """With its port, where the connection string names one."""
    try:
        parts = parse_connection_string(text)
    except ValueError:
        raise Misconfigured(
            "The connection string can't be read. Expected Endpoint=sb://<namespace>.servicebus.windows.net/;"
            "SharedAccessKeyName=<name>;SharedAccessKey=<key>, as the portal shows it under 'Shared access policies'."
        ) from None  # its text is about the string, which holds a key
    if parts.entity_path:
        raise Misconfigured(
            f"The connection string is for '{parts.entity_path}' alone (EntityPath). Use one of the namespace, because "
            "requests and replies are on different queues."
        )
    return parts.fully_qualified_namespace


def _trust() -> ssl.SSLContext:
    """One context for all links: making it is nine tenths of the cost of opening one (35 ms of CPU)."""
    trust = ssl.create_default_context()
    trust.load_verify_locations(certifi.where())  # slim images have no certificates of their own; the SDK's own choice
    return trust
