"""What peers say to each other: the frame bodies of parts 2, 3 and 5, fields in wire order."""

from __future__ import annotations

from typing import Final, NamedTuple

from worker.emulator.amqp import types

Map = dict[object, object]
NO_LIMIT: Final = 0xFFFFFFFF


class Error(NamedTuple):
    condition: str
    description: str | None = None
    info: Map | None = None


@types.distinct
class Received(NamedTuple):
    section_number: int
    section_offset: int


@types.distinct
class Accepted(NamedTuple):
    pass


@types.distinct
class Rejected(NamedTuple):
    error: Error | None = None


@types.distinct
class Released(NamedTuple):
    pass


@types.distinct
class Modified(NamedTuple):
    delivery_failed: bool = False
    undeliverable_here: bool = False
    message_annotations: Map | None = None


Outcome = Accepted | Rejected | Released | Modified
DeliveryState = Received | Outcome | types.Described


class Source(NamedTuple):
    address: object = None
    durable: int = 0
    expiry_policy: str = "session-end"
    timeout: int = 0
    dynamic: bool = False
    dynamic_node_properties: Map | None = None
    distribution_mode: str | None = None
    filter: Map | None = None
    default_outcome: object = None
    outcomes: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()


class Target(NamedTuple):
    address: object = None
    durable: int = 0
    expiry_policy: str = "session-end"
    timeout: int = 0
    dynamic: bool = False
    dynamic_node_properties: Map | None = None
    capabilities: tuple[str, ...] = ()


class Coordinator(NamedTuple):
    """The target of a link that controls transactions."""

    capabilities: tuple[str, ...] = ()


class Open(NamedTuple):
    container_id: str
    hostname: str | None = None
    max_frame_size: int = NO_LIMIT
    channel_max: int = 0xFFFF
    idle_time_out: int | None = None
    """Milliseconds."""
    outgoing_locales: tuple[str, ...] = ()
    incoming_locales: tuple[str, ...] = ()
    offered_capabilities: tuple[str, ...] = ()
    desired_capabilities: tuple[str, ...] = ()
    properties: Map | None = None


class Begin(NamedTuple):
    remote_channel: int | None
    next_outgoing_id: int
    incoming_window: int
    outgoing_window: int
    handle_max: int = NO_LIMIT
    offered_capabilities: tuple[str, ...] = ()
    desired_capabilities: tuple[str, ...] = ()
    properties: Map | None = None


class Attach(NamedTuple):
    name: str
    handle: int
    role: bool
    """RECEIVER or SENDER, whichever the one who says it is."""
    snd_settle_mode: int = 2
    rcv_settle_mode: int = 0
    source: Source | None = None
    target: Target | Coordinator | None = None
    unsettled: Map | None = None
    incomplete_unsettled: bool = False
    initial_delivery_count: int | None = None
    max_message_size: int | None = None
    """Bytes; None and 0 are no limit."""
    offered_capabilities: tuple[str, ...] = ()
    desired_capabilities: tuple[str, ...] = ()
    properties: Map | None = None


SENDER: Final = False
RECEIVER: Final = True
SETTLED: Final = 1
"""A `snd_settle_mode`: every transfer is settled as it is sent."""
MIXED: Final = 2
"""A `snd_settle_mode`: each transfer says so itself."""


class Flow(NamedTuple):
    next_incoming_id: int | None
    incoming_window: int
    next_outgoing_id: int
    outgoing_window: int
    handle: int | None = None
    delivery_count: int | None = None
    link_credit: int | None = None
    available: int | None = None
    drain: bool = False
    echo: bool = False
    properties: Map | None = None


class Transfer(NamedTuple):
    handle: int
    delivery_id: int | None = None
    delivery_tag: bytes | None = None
    message_format: int | None = None
    settled: bool | None = None
    more: bool = False
    rcv_settle_mode: int | None = None
    state: DeliveryState | None = None
    resume: bool = False
    aborted: bool = False
    batchable: bool = False


class Disposition(NamedTuple):
    role: bool
    first: int
    last: int | None = None
    settled: bool = False
    state: DeliveryState | None = None
    batchable: bool = False


class Detach(NamedTuple):
    handle: int
    closed: bool = False
    error: Error | None = None


class End(NamedTuple):
    error: Error | None = None


class Close(NamedTuple):
    error: Error | None = None


class SaslMechanisms(NamedTuple):
    sasl_server_mechanisms: tuple[str, ...]


class SaslInit(NamedTuple):
    mechanism: str
    initial_response: bytes | None = None
    hostname: str | None = None


class SaslChallenge(NamedTuple):
    challenge: bytes


class SaslResponse(NamedTuple):
    response: bytes


class SaslOutcome(NamedTuple):
    code: int
    additional_data: bytes | None = None


Performative = Open | Begin | Attach | Flow | Transfer | Disposition | Detach | End | Close
SaslPerformative = SaslMechanisms | SaslInit | SaslChallenge | SaslResponse | SaslOutcome
