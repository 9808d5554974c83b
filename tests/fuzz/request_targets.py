"""The worker's own reading of a message: the delivery, the request in it, its context, its return address, a reply."""

import json
from datetime import datetime
from typing import Final
from urllib.parse import unquote
from uuid import UUID

from core.conftest import delivery_of
from hypothesis import strategies as st

from fuzz.messages import CLAIMED, TOKENS, contexts, contexts_in, delivered, messages, received
from fuzz.target import Target, assert_fit_to_say
from worker.core.address import MAX_SESSION_ID_CHARS, resolve
from worker.core.content import content_for
from worker.core.dataverse.changes import brings, changes
from worker.core.dataverse.dates import read_instant, write_date, write_iso
from worker.core.dataverse.document import ContextBroken
from worker.core.dataverse.event import recognised
from worker.core.dataverse.forms import Form
from worker.core.dataverse.plain import plain_context, write_plain
from worker.core.decode import decode
from worker.core.flow_spec import FlowSpec
from worker.core.outcome import Outcome, Rejected
from worker.core.redaction import redact
from worker.core.request import OneWay, Request, ReturnAddress
from worker.core.typed_reply import read_reply
from worker.core.verdict import dead_letter
from worker.servicebus.convert import strip_unsettleable

_TEMPLATE: Final = {
    "name": "${target.name}",
    "all": {"$eval": "inputParameters"},
    "subject": {"$eval": "request.subject"},
}
_URL: Final = "http://127.0.0.1/"
_FLOWS: Final = (
    FlowSpec(name="picky", url=_URL, body="context"),
    FlowSpec(name="choosy", url=_URL, body="target"),
    FlowSpec(name="shaped", url=_URL, body_template=_TEMPLATE),
    FlowSpec(name="asked", url=_URL, method="GET", query=(("id", "${request.id}"), ("name", "${target['name']}"))),
)
_QUEUES: Final = ("flow-replies", "Other-Replies")
_HOST: Final = "contoso.servicebus.windows.net"


def _delivery(data: bytes) -> None:
    delivery = delivered(data)
    if delivery is None:
        return
    texts = (delivery.message_id, delivery.correlation_id, delivery.session_id, delivery.reply_to, delivery.subject)
    assert "" not in texts
    assert all(text is None or isinstance(text, str) for text in texts)
    assert delivery.body is None or isinstance(delivery.body, bytes)
    for value in delivery.properties.values():
        assert value is None or isinstance(value, str | bytes | int | float | bool | datetime | UUID)
    message = received(data)
    assert message is not None
    strip_unsettleable(message)


def _request(data: bytes) -> None:
    delivery = delivered(data)
    if delivery is None:
        return
    request = decode(delivery)
    if isinstance(request, Rejected):
        assert_fit_to_say(dead_letter(request).description)
        return
    assert request.request_id
    assert request.idempotency_key
    assert all(text.isascii() and text.isprintable() for text in request.trace.values())
    assert request.timeout_s is None or 0 < request.timeout_s < float("inf")
    assert request.delivery_attempt >= 0
    _content(request)


def _content(request: Request) -> None:
    for flow in _FLOWS:
        content = content_for(request, flow, first_enqueued_ms=0)
        if isinstance(content, Rejected):
            assert_fit_to_say(dead_letter(content).description)
        elif content.body is not None:
            assert isinstance(json.loads(content.body), dict)


def _context(data: bytes) -> None:
    """Whatever it is, it is a context to the last, or is refused with a reason."""
    try:
        event = recognised(data, None, CLAIMED)
        assert event is not None
        context = event.context()
    except ContextBroken as broken:
        assert_fit_to_say(redact(str(broken)))
        return
    assert changes(context, "name") <= brings(context, "name")
    try:
        plain = write_plain(plain_context(context))
    except ContextBroken as broken:
        assert_fit_to_say(redact(str(broken)))
    else:
        assert json.loads(plain)["messageName"] == context.message_name


def _date(data: bytes) -> None:
    instant = read_instant(data.decode(errors="replace"))
    if instant is not None:
        to_ms = instant.replace(microsecond=instant.microsecond // 1000 * 1000)
        assert read_instant(write_date(instant)) == to_ms
        assert read_instant(write_iso(instant)) == to_ms


def _return_address(data: bytes) -> None:
    """Three lines: reply-to, its session, the message's own session. No answer goes anywhere else."""
    reply_to, session, own, *_ = [line or None for line in data.decode(errors="replace").split("\n")] + [None] * 3
    found = resolve(
        delivery_of(reply_to=reply_to, reply_to_session_id=session, session_id=own),
        reply_queues=_QUEUES,
        namespace_host=_HOST,
    )
    match found:
        case ReturnAddress():
            assert found.queue in _QUEUES
            assert 0 < len(found.session_id) <= MAX_SESSION_ID_CHARS
            assert reply_to is None or found.queue.casefold() in unquote(reply_to).casefold()
        case OneWay():
            assert reply_to is None
            assert session is None
        case Rejected():
            assert_fit_to_say(dead_letter(found).description)


def _reply(data: bytes) -> None:
    delivery = delivered(data)
    if delivery is None:
        return
    reply = read_reply(delivery, request_id="r")
    assert isinstance(reply.outcome, Outcome)
    assert isinstance(reply.body, bytes)
    assert all(
        type(number) is not bool
        for number in (reply.http_status, reply.attempts, reply.elapsed_ms, reply.retry_after_s)
    )


_JSON_TOKENS: Final = (
    b"1e9999999999999999999",
    b"-0.0e-9999999999999999999",
    b"9" * 4500,
    b'"\\ud800"',
    b'"\\/Date(1718000000000+0130)\\/"',
    b"\xef\xbb\xbf",
    b'{"key":"a","value":',
    b'{"__type":"Entity:","Attributes":[],"LogicalName":"a","RelatedEntities":[{"key":{"SchemaName":"r"},"value":{}}]}',
    b'"ParentContext":{"MessageName":"Update","Stage":40}',
    b"NaN",
    b"[" * 70,
    b"@\x06string\x083http://schemas.microsoft.com/2003/10/Serialization/\x9a",
)
_XML_TOKENS: Final = (
    b'<!DOCTYPE a [<!ENTITY b "ha">]>',
    b"&b;",
    b"&#x41;",
    b"<![CDATA[",
    b"]]>",
    b'<?xml version="1.0" encoding="utf-16"?>',
    b'<value i:type="ArrayOfArrayOfstring">',
    b' i:type="x:dateTime"',
    b' i:nil="true"',
    b'<value i:type="Entity"><Attributes>',
    b"<ParentContext>",
    b"<KeyValuePairOfstringanyType>",
    b"9" * 50,
    b"\xff\xfe",
)
_BINARY_TOKENS: Final = (
    *(bytes([record]) for record in (0x01, 0x02, 0x03, 0x08, 0x2E, 0x40, 0x5E, 0x80, 0xA4, 0xA6, 0xAA, 0xBC)),
    b"\x99\x05Entit",
    b"\x9d\xff\xff\xff\x7f",
    b"\x97" + b"\xff" * 8,
    b"\x95\x00\x00\x1c\x80" + b"\xff" * 12,
    b"\x93\x00\x00\x00\x00\x00\x00\xf8\x7f",
    b"\x03@\x01a\x01\x8d\x80\x80\x04",
    b"\x80\x80\x80\x80\x08",
    b"\xb1" + bytes(16),
    b"\x05\x04type",
)
_ADDRESSES: Final = (
    "flow-replies",
    "other-replies/",
    f"sb://{_HOST}/flow-replies",
    f"amqps://{_HOST.upper()}:5671/Flow-Replies?a=b",
    f"sb://user@{_HOST}/x",
    f"sb://[{_HOST}]/flow-replies",
    "Endpoint=sb://h/;SharedAccessKeyName=n;SharedAccessKey=c2VjcmV0",
    "https://h/?sig=c2VjcmV0",
    "%66low-replies",
    "",
)

REQUEST_TARGETS: Final = (
    Target(name="delivery", check=_delivery, made=messages, covers=("servicebus/convert",), tokens=TOKENS),
    Target(name="request", check=_request, made=messages, covers=("core",), tokens=TOKENS + _JSON_TOKENS),
    Target(name="context", check=_context, made=contexts, covers=("core/dataverse",), tokens=_JSON_TOKENS),
    Target(
        name="context-xml",
        check=_context,
        made=contexts_in(Form.XML),
        covers=("core/dataverse",),
        tokens=_XML_TOKENS,
    ),
    Target(
        name="context-msbin1",
        check=_context,
        made=contexts_in(Form.MSBIN1),
        covers=("core/dataverse",),
        tokens=_BINARY_TOKENS,
    ),
    Target(
        name="date",
        check=_date,
        made=st.datetimes().map(lambda at: at.isoformat().encode())
        | st.integers(-(10**16), 10**16).map(lambda ms: f"/Date({ms}-0730)/".encode()),
        covers=("core/dataverse/dates",),
        tokens=(b"/Date(", b")/", b"+0100", b"-9999", b"T", b"Z", b"0001-01-01", b"9999-12-31T23:59:59", b"\xd9\xa3"),
    ),
    Target(
        name="return-address",
        check=_return_address,
        made=st.tuples(
            st.sampled_from(_ADDRESSES), st.sampled_from(("", "s", "s" * 129)), st.sampled_from(("", "own"))
        ).map(lambda lines: "\n".join(lines).encode()),
        covers=("core/address",),
        tokens=(*(address.encode() for address in _ADDRESSES), b"\n", b"%2f", b"@", b"://"),
    ),
    Target(name="reply", check=_reply, made=messages, covers=("core/typed_reply",), tokens=TOKENS),
)
