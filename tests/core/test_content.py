import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.core.content import body_for
from worker.core.decode import decode
from worker.core.flow_spec import FlowSpec
from worker.core.outcome import Reason, Rejected
from worker.core.request import Request

from .conftest import Deliver, delivery_of

AS_IT_CAME = FlowSpec(name="f", url="http://127.0.0.1/f")
DECODED = FlowSpec(name="f", url="http://127.0.0.1/f", body="context")


def request_of(deliver: Deliver, body: bytes, content_type: str | None = None) -> Request:
    request = decode(deliver(body=body, content_type=content_type))
    assert isinstance(request, Request)
    return request


@settings(deadline=None)
@given(body=st.binary(), content_type=st.sampled_from(["text/plain", "application/xml; charset=utf-8", "image/png"]))
def test_a_flow_gets_the_messages_bytes_and_content_type_unchanged(body: bytes, content_type: str) -> None:
    assert body_for(request_of(delivery_of, body, content_type), AS_IT_CAME) == (body, content_type)


@pytest.mark.parametrize("body", [b"{}", b' {"a": [1, null, "\xc3\xa4"]}', b"17", b'"text"', b"null"])
def test_without_a_content_type_what_parses_as_json_is_called_that(deliver: Deliver, body: bytes) -> None:
    assert body_for(request_of(deliver, body), AS_IT_CAME) == (body, "application/json")


@pytest.mark.parametrize("body", [b"", b"hello", b"{", b"\xff\xfe", b"{'a': 1}", b"[" * 5000])
def test_without_a_content_type_anything_else_is_a_stream_of_octets(deliver: Deliver, body: bytes) -> None:
    assert body_for(request_of(deliver, body), AS_IT_CAME) == (body, "application/octet-stream")


def test_a_flow_that_takes_contexts_gets_plain_json(deliver: Deliver) -> None:
    context = {
        "MessageName": "Update",
        "PrimaryEntityName": "account",
        "InputParameters": [{"key": "Number", "value": 17}],
    }
    content = body_for(request_of(deliver, json.dumps(context).encode(), "text/plain"), DECODED)
    assert not isinstance(content, Rejected)
    body, content_type = content
    assert content_type == "application/json"
    plain = json.loads(body)
    assert plain["messageName"] == "Update"
    assert plain["inputParameters"] == {"Number": 17}


@pytest.mark.parametrize("body", [b"hello", b"", b"[1]", b"\x00\x01"])
def test_a_flow_that_takes_contexts_rejects_anything_else(deliver: Deliver, body: bytes) -> None:
    rejected = body_for(request_of(deliver, body), DECODED)
    assert isinstance(rejected, Rejected)
    assert rejected.reason is Reason.MALFORMED
