"""One dead letter, in what a list shows and a choice looks at."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from worker.core.dead_letters.running import may_have_run
from worker.core.decode import decode, request_id_of, text_of
from worker.core.delivery import Delivery
from worker.core.flow_spec import FlowSpec
from worker.core.outcome import Rejected
from worker.core.route import RouteRule, choose

REASON = "DeadLetterReason"
DESCRIPTION = "DeadLetterErrorDescription"
FLOW = "flow"


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowsSpec:
    """The flows of the settings, and the ways to them."""

    flows: Mapping[str, FlowSpec] = field(default_factory=dict)
    routes: tuple[RouteRule, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """`flow`: where the request belongs, `goes_to`: where its copy would go; None where it can't be told.

    `may_have_run`: a run of a flow may have begun for it; `is_repeatable`: one more of where it goes to does no harm.
    """

    sequence_number: int
    message_id: str | None
    request_id: str
    reason: str | None
    description: str | None = field(repr=False)
    flow: str | None
    goes_to: str | None
    enqueued_time_ms: int
    size_bytes: int
    is_one_way: bool
    is_copyable: bool
    may_have_run: bool
    is_repeatable: bool
    copy_id: str


def letter_of(delivery: Delivery, spec: FlowsSpec, *, to_flow: str | None = None) -> Letter:
    reason, description = reason_of(delivery), description_of(delivery)
    flow = flow_of(delivery, spec)
    goes_to = flow if to_flow is None else flow_of(sent_to(delivery, to_flow), spec)
    called = spec.flows.get(goes_to or "")
    return Letter(
        sequence_number=delivery.sequence_number,
        message_id=delivery.message_id,
        request_id=request_id_of(delivery),
        reason=reason,
        description=description,
        flow=flow,
        goes_to=goes_to,
        enqueued_time_ms=delivery.enqueued_time_ms,
        size_bytes=len(delivery.body or b""),
        is_one_way=delivery.is_one_way,
        is_copyable=delivery.body is not None,
        may_have_run=may_have_run(reason, description),
        is_repeatable=called is not None and called.idempotent,
        copy_id=copy_id(delivery),
    )


def reason_of(delivery: Delivery) -> str | None:
    return text_of(delivery.properties.get(REASON))


def description_of(delivery: Delivery) -> str | None:
    return text_of(delivery.properties.get(DESCRIPTION))


def flow_of(delivery: Delivery, spec: FlowsSpec) -> str | None:
    """As the worker chooses it: routes first. Of what it can't route, the flow that the message itself names."""
    named = text_of(delivery.properties.get(FLOW))
    request = decode(delivery)
    if isinstance(request, Rejected):
        return named
    chosen = choose(spec.routes, spec.flows, request)
    return named if isinstance(chosen, Rejected) else chosen


def sent_to(delivery: Delivery, flow: str) -> Delivery:
    """With the property that names `flow`, which decides where no route does."""
    return replace(delivery, properties={**delivery.properties, FLOW: flow})


def copy_id(delivery: Delivery) -> str:
    """The message id of its copy, the same whenever that is sent: so duplicate detection knows the second one.

    A copy that dies in its turn is another dead letter, and its copy another message.
    """
    stamp = f"{delivery.sequence_number}\0{delivery.enqueued_time_ms}"
    named = f"replay\0{request_id_of(delivery)}\0{stamp}\0{delivery.message_id}"
    return hashlib.sha256(named.encode(errors="backslashreplace")).hexdigest()[:32]
