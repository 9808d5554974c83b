"""The worker's own reading of a message: the delivery, the request in it, its context, its return address, a reply."""

import json
from datetime import datetime
from typing import Final
from urllib.parse import unquote
from uuid import UUID

from core.conftest import delivery_of
from hypothesis import strategies as st

from fuzz.messages import TOKENS, contexts, delivered, messages, received
from fuzz.target import Target, assert_fit_to_say
from worker.core.address import MAX_SESSION_ID_CHARS, resolve
from worker.core.content import body_for
from worker.core.dataverse.dates import read_instant, write_date, write_iso
from worker.core.dataverse.document import ContextBroken
from worker.core.dataverse.facts import facts_of
from worker.core.dataverse.plain import context_as_plain_json
from worker.core.decode import decode
from worker.core.flow_spec import FlowSpec
from worker.core.outcome import Outcome, Rejected
from worker.core.redaction import redact
from worker.core.request import OneWay, Request, ReturnAddress
from worker.core.verdict import dead_letter
from worker.requester.typed_reply import read_reply
from worker.servicebus.convert import strip_unsettleable

_FLOW: Final = FlowSpec(name="picky", url="http://127.0.0.1/", body="context")
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
    content = body_for(request, _FLOW)
    if isinstance(content, Rejected):
        assert_fit_to_say(dead_letter(content).description)
    else:
        json.loads(content[0])


def _context(data: bytes) -> None:
    try:
        facts_of(data)
    except ContextBroken as broken:
        assert_fit_to_say(redact(str(broken)))
    plain = context_as_plain_json(data)
    if isinstance(plain, Rejected):
        assert_fit_to_say(dead_letter(plain).description)
        return
    assert isinstance(json.loads(plain), dict)


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
    Target(name="reply", check=_reply, made=messages, covers=("requester/typed_reply",), tokens=TOKENS),
)
