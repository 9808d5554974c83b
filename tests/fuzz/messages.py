"""Messages as any sender may write them, and as the worker gets them."""

import json
from typing import Any, Final

from azure.servicebus import ServiceBusReceivedMessage
from emulator.amqp.test_codec_properties import scalars
from hypothesis import strategies as st
from support import contexts as written

from worker.core.dataverse.facts import CLAIMS
from worker.core.dataverse.forms import Form, write
from worker.core.delivery import Delivery
from worker.emulator.amqp import types
from worker.emulator.amqp.decode import decode
from worker.emulator.amqp.encode import encode
from worker.emulator.amqp.errors import DecodeError
from worker.emulator.amqp.message import read_sections, spans
from worker.servicebus.convert import Instant, to_delivery

HEADER, ANNOTATIONS, PROPERTIES, APPLICATION, DATA, SEQUENCE, VALUE = 0x70, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77
WALL_S: Final = 1_700_000_000.0

READ_PROPERTIES: Final = (
    "request-id",
    "delivery-attempt",
    "timeout-s",
    "answer-location",
    "answer-flow",
    "answer-run-id",
    "answer-attempts",
    "first-enqueued",
    "redelivered",
    "flow",
    "idempotency-key",
    "reply-ttl-s",
    "traceparent",
    "tracestate",
    "Diagnostic-Id",
    f"{CLAIMS}RequestName",
    f"{CLAIMS}EntityLogicalName",
    "http://schemas.microsoft.com/xrm/2011/Claims/MessageMaxSizeExceeded",
)
"""All that the worker looks at: what is forged, is forged here."""
TOKENS: Final = (
    *(encode(name) for name in READ_PROPERTIES),
    *(
        encode(value)
        for value in ("risky", "safe", "wary", "picky", "flow-replies", "other-replies", "5", "1.5", "\u0663")
    ),
    *(encode(value) for value in (0, -1, 2**31, 2**63 - 1, -(2**63), types.ULong(2**64 - 1), True, None)),
    *(encode(value) for value in (float("inf"), float("nan"), 1e308, 5e-324, b"\xff\xfe", "")),
    encode("https://contoso.example/runs/1?sig=c2VjcmV0"),
    encode("sb://contoso.servicebus.windows.net/flow-replies"),
    b"\xa3\x10application/json",
    b"SharedAccessKey=c2VjcmV0",
    b"\\ud800",
    b"1e9999999999999999999",
)

texts: Final = st.one_of(
    st.sampled_from(
        ("risky", "safe", "wary", "picky", "5", "0", "-1", "1e3", "0.1", "\u0663", "", "a\r\nb: c", "x" * 300)
    ),
    st.just("https://127.0.0.1/picky/runs/1?sig=c2VjcmV0&a=b"),
    st.just("Endpoint=sb://h/;SharedAccessKeyName=n;SharedAccessKey=c2VjcmV0"),
    st.text(st.characters(codec="utf-8"), max_size=20),
)
numbers: Final = st.one_of(
    st.integers(-2, 40),
    st.sampled_from((2**31 - 1, 2**31, 2**53, 2**63 - 1, -(2**63), 1_700_000_000_000, 1_699_999_000_000)),
    st.builds(types.ULong, st.sampled_from((0, 5, 2**63, 2**64 - 1))),
    st.floats(),
)
property_values: Final[st.SearchStrategy[Any]] = st.one_of(texts, numbers, scalars)
properties_of_a_request: Final = st.dictionaries(
    st.sampled_from(READ_PROPERTIES) | st.text(st.characters(codec="utf-8"), max_size=6), property_values, max_size=8
)

_dates: Final = st.builds(
    "/Date({}{})/".format, st.integers(-(10**16), 10**16), st.sampled_from(("", "+0100", "-0730", "+9999"))
)
_leaves: Final[st.SearchStrategy[Any]] = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8), _dates
)
_kinds: Final = ("Entity", "EntityReference", "EntityCollection", "OptionSetValue", "Money", "QueryExpression", "")
_member_names: Final = (
    "Attributes",
    "Entities",
    "EntityName",
    "FormattedValues",
    "Id",
    "KeyAttributes",
    "LogicalName",
    "Name",
    "RelatedEntities",
    "Value",
)


def _pairs(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(st.fixed_dictionaries({"key": st.text(max_size=8), "value": values}), max_size=3)


def _objects(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    tag = st.sampled_from(_kinds).map(
        lambda kind: {"__type": f"{kind}:http://schemas.microsoft.com/xrm/2011/Contracts"}
    )
    members = st.dictionaries(st.sampled_from(_member_names), values | _pairs(values), max_size=6)
    return st.builds(lambda tag, members: {**tag, **members}, tag | st.just({}), members)


_values: Final = st.recursive(
    _leaves, lambda inner: st.lists(inner, max_size=3) | _objects(inner) | _pairs(inner), max_leaves=12
)
_texts_of_a_context: Final = ("MessageName", "PrimaryEntityName", "OrganizationName", "UserId", "OperationCreatedOn")
_lists_of_a_context: Final = ("InputParameters", "OutputParameters", "SharedVariables", "PreEntityImages")
_others_of_a_context: Final = ("Stage", "Mode", "Depth", "IsInTransaction", "OwningExtension", "ParentContext")

contexts: Final[st.SearchStrategy[bytes]] = st.builds(
    lambda sound, odd: json.dumps({**sound, **odd}).replace("/", "\\/").encode(),
    st.fixed_dictionaries(
        {"MessageName": st.just("Update"), "PrimaryEntityName": st.just("account"), "Stage": st.just(40)},
        optional={name: _pairs(_values) for name in _lists_of_a_context},
    ),
    st.dictionaries(
        st.sampled_from((*_texts_of_a_context, *_lists_of_a_context, *_others_of_a_context)), _values, max_size=2
    ),
)


CLAIMED: Final = {f"{CLAIMS}RequestName": "Update"}


def contexts_in(form: Form) -> st.SearchStrategy[bytes]:
    """As the other end writes them."""
    return written.contexts().map(lambda context: write(context, form))


def encoded(*sections: tuple[int, object]) -> bytes:
    return b"".join(encode(types.Described(types.ULong(code), body)) for code, body in sections)


_fields: Final = st.tuples(
    scalars,  # message-id
    st.none(),
    texts | st.none(),
    texts | st.none(),
    st.sampled_from(
        (None, "flow-replies", "FLOW-REPLIES/", "sb://contoso.servicebus.windows.net/other-replies", "", "x")
    ),
    scalars,  # correlation-id
    st.sampled_from((None, "application/json", "application/json; charset=utf-8", "application/xml", "")).map(
        lambda text: None if text is None else types.Symbol(text)
    ),
    st.none(),
    st.none(),
    st.none(),
    texts | st.none(),
    st.none(),
    st.sampled_from((None, "caller-1", "", "s" * 129)),
).map(list)
_headers: Final = st.tuples(
    st.none(),
    st.none(),
    st.sampled_from((None, 0, 1, 90_000, 2**32 - 1)).map(lambda ms: None if ms is None else types.UInt(ms)),
    st.none(),
    st.sampled_from((None, 0, 1, 9)).map(lambda count: None if count is None else types.UInt(count)),
).map(list)
_bodies: Final[st.SearchStrategy[tuple[int, Any]]] = st.one_of(
    contexts.map(lambda body: (DATA, body)),
    st.binary(max_size=40).map(lambda body: (DATA, body)),
    scalars.map(lambda value: (VALUE, value)),
    st.lists(scalars, max_size=2).map(lambda values: (SEQUENCE, values)),
)
messages: Final[st.SearchStrategy[bytes]] = st.builds(
    lambda header, fields, application, body: encoded(
        (HEADER, header), (PROPERTIES, fields), (APPLICATION, application), body
    ),
    _headers,
    _fields,
    properties_of_a_request,
    _bodies,
)


def received(data: bytes) -> ServiceBusReceivedMessage | None:
    """As the SDK reads it; None for what is no message, and for what the SDK can't read."""
    try:
        read_sections(data)
        for span in spans(data):
            decode(data, span.value)  # or a count that lies would cost the SDK its memory
    except DecodeError:
        return None
    try:
        message = ServiceBusReceivedMessage.from_bytes(data)
    except Exception:  # noqa: BLE001 - of any kind; not ours
        return None
    message._delivery_tag = bytes(16)  # as on a link
    return message


def delivered(data: bytes, *, loop_s: float = 1000.0) -> Delivery | None:
    message = received(data)
    return None if message is None else to_delivery(message, Instant(loop_s=loop_s, wall_s=WALL_S))
