"""What comes back from a flow: the answer, where it may be fetched, its compression; and what goes to it in headers."""

import gzip
import zlib
from datetime import UTC, datetime
from typing import Final

from hypothesis import strategies as st
from yarl import URL

from fuzz.messages import texts
from fuzz.target import Target, assert_fit_to_say
from worker.core.claims import claims_of, explain
from worker.core.flow_spec import FlowSpec, RetrySpec
from worker.core.outcome import Refused, Running
from worker.core.request import Call
from worker.core.response import (
    CODE_LIMIT,
    DETAIL_LIMIT,
    Ended,
    Flaw,
    Response,
    judge_poll,
    judge_response,
    platform_error,
)
from worker.core.retry import LONGEST_RETRY_AFTER_S, parse_retry_after
from worker.core.verdict import describe
from worker.flow.headers import call_headers
from worker.flow.locations import is_same_origin, is_signed, is_within_workflow, locate, may_follow
from worker.flow.unpacking import WINDOW_BITS, Unpacking

_TRIGGER: Final = URL("https://contoso.example/workflows/w/triggers/manual/paths/invoke?api-version=1")
_LISTED: Final = ("polling.example", "other.example:8443")
_RUNNING: Final = Running(location="https://contoso.example/runs/1", retry_after_s=None, run_id="run-1", attempts=1)
_MOST_BYTES: Final = 10_000
_NOW: Final = datetime(2026, 1, 31, tzinfo=UTC)


def _answer(data: bytes) -> None:
    """A status, header lines, an empty line, a body."""
    head, _, body = data.partition(b"\n\n")
    status, *lines = head.decode(errors="surrogateescape").split("\n")
    headers = dict(line.split(": ", 1) for line in lines if ": " in line)
    retry_after_s = parse_retry_after(headers.get("Retry-After"), utc_now=_NOW)
    assert retry_after_s is None or 0 <= retry_after_s <= LONGEST_RETRY_AFTER_S
    for content in (body, *Flaw):
        response = Response(
            status=int(status) if status.isascii() and status.isdecimal() and len(status) == 3 else 200,
            body=content,
            location=headers.get("Location"),
            run_id=headers.get("x-ms-workflow-run-id"),
            retry_after_s=retry_after_s,
        )
        for result in (judge_response(response, attempts=1), judge_poll(response, _RUNNING)):
            if isinstance(result, Ended) and not isinstance(result.outcome, Refused):
                assert describe(result.outcome)
    error = platform_error(body)
    if error is not None:
        assert error.code
        assert (error.code + error.message).isprintable()
        assert len(error.code) <= CODE_LIMIT
        assert len(error.message) <= DETAIL_LIMIT
        assert_fit_to_say(explain(status=401, code=error.code, message=error.message, claims=claims_of(status)))


def _location(data: bytes) -> None:
    """Nobody but the flow and the listed hosts is asked, and by no other scheme."""
    url = locate(_TRIGGER, data.decode(errors="surrogateescape"))
    if url is None:
        return
    assert url.host
    assert url.port
    assert url.authority
    assert isinstance(is_signed(url) or is_within_workflow(url, _TRIGGER), bool)
    locate(url, str(url))
    if not may_follow(url, _TRIGGER, _LISTED):
        return
    assert url.scheme == "https"
    assert url.user is None
    assert url.password is None
    assert is_same_origin(url, _TRIGGER) or url.host == "polling.example" or url.authority == "other.example:8443"


def _token(data: bytes) -> None:
    claims = claims_of(data.decode(errors="replace"))
    if claims is not None:
        assert str(claims).isprintable()
        explain(status=403, code="MisMatchingOAuthClaims", message="The call is refused.", claims=claims)


def _unpacking(data: bytes) -> None:
    """Which compression, the size of the pieces it comes in, and the body."""
    coding = sorted(WINDOW_BITS)[data[0] % len(WINDOW_BITS)] if data else "gzip"
    piece = 1 + data[1] if len(data) > 1 else 1
    unpacking = Unpacking(WINDOW_BITS[coding])
    unpacked = b""
    try:
        for at in range(2, len(data), piece):
            unpacked += unpacking.unpack(data[at : at + piece], _MOST_BYTES - len(unpacked) + 1)
            if len(unpacked) > _MOST_BYTES:
                break
    except zlib.error:
        return
    assert len(unpacked) <= _MOST_BYTES + 1
    if unpacking.is_whole and coding == "gzip" and len(data) > 2 and len(unpacked) <= _MOST_BYTES:
        assert gzip.decompress(data[2:]) == unpacked


def _headers(data: bytes) -> None:
    """Lines: content type, request id, idempotency key, traceparent. None ends a header, whatever it holds."""
    content_type, request_id, key, trace = (data.decode(errors="replace").split("\0") + [""] * 4)[:4]
    headers = call_headers(
        Call(
            flow=FlowSpec(name="f", url="https://contoso.example/"),
            retry=RetrySpec(),
            request_id=request_id,
            idempotency_key=key,
            body=b"",
            content_type=content_type,
            trace={"traceparent": trace},
            deadline=None,
        )
    )
    assert {"Content-Type", "x-ms-client-tracking-id", "Idempotency-Key"} <= headers.keys()
    assert all(value.isascii() and value.isprintable() for value in headers.values())


_LOCATIONS: Final = (
    "https://contoso.example/workflows/w/runs/1?sig=c2VjcmV0",
    "/workflows/w/runs/1/operations/2",
    "//polling.example/x",
    "https://other.example:8443",
    "https://me:pw@polling.example/",
    "https://polling.example.evil.example/",
    "https://contoso.example@evil.example/",
    "http://[::1/",
    "https://xn--/",
    "https://h:99999/",
    "..",
    "\\\\evil.example\\x",
    "https:",
    "?",
)
_RETRIES: Final = ("7", "0.5", "Wed, 21 Oct 2026 07:28:00 GMT", "Wed, 21 Oct 2026 07:28:00 -0000", "-1", "9" * 99)
_BODIES: Final = (
    '{"error":{"code":"NoResponse","message":"The server did not answer."}}',
    '{"error":{"code":"X","message":"https://h/?sig=c2VjcmV0 is wrong"}}',
    '{"error":{"code":"\\ud800","message":5}}',
    "not JSON",
)
_TOKENS: Final = ("eyJhIjoxfQ.eyJhdWQiOlsiYSIsMV0sInRpZCI6InQifQ.x", "a.W10.c", "a.bnVsbA.c", "a.b.c")

FLOW_TARGETS: Final = (
    Target(
        name="answer",
        check=_answer,
        made=st.builds(
            "{}\nRetry-After: {}\nLocation: {}\n{}\n\n{}".format,
            st.sampled_from((200, 202, 302, 400, 401, 429, 500, 502, 503, 504)),
            st.sampled_from(_RETRIES),
            st.sampled_from(_LOCATIONS),
            st.sampled_from(("", "x-ms-workflow-run-id: run-2")),
            st.sampled_from(_BODIES),
        ).map(str.encode),
        covers=("core/response", "core/retry", "core/claims", "core/verdict"),
        tokens=tuple(text.encode() for text in (*_RETRIES, *_BODIES, "\nRetry-After: ", "\n\n", "GMT", "+9999")),
    ),
    Target(
        name="location",
        check=_location,
        made=st.lists(st.sampled_from(_LOCATIONS), max_size=3).map(lambda parts: "".join(parts).encode()),
        covers=("flow/locations",),
        tokens=(*(location.encode() for location in _LOCATIONS), b"@", b":", b"%2e%2e", b"\xc2\xa0", b"\\"),
    ),
    Target(
        name="token",
        check=_token,
        made=st.sampled_from(_TOKENS).map(str.encode),
        covers=("core/claims",),
        tokens=(b".", b"eyJ", b"W1tb", b"bnVsbA", b"="),
    ),
    Target(
        name="unpacking",
        check=_unpacking,
        made=st.builds(
            lambda which, piece, bodies: bytes((which, piece)) + b"".join(bodies),
            st.integers(0, 2),
            st.sampled_from((0, 5, 255)),
            st.lists(
                st.binary(max_size=200).map(gzip.compress) | st.binary(max_size=50).map(zlib.compress), max_size=3
            ),
        ),
        covers=("flow/unpacking",),
        tokens=(gzip.compress(b""), gzip.compress(bytes(20_000)), zlib.compress(bytes(20_000)), b"\x00"),
    ),
    Target(
        name="headers",
        check=_headers,
        made=st.lists(texts, min_size=4, max_size=4).map(lambda parts: "\0".join(parts).encode()),
        covers=("flow/headers",),
        tokens=(b"\0", b"\r\n", b"\xc3\xa9", b"%", b"\x7f"),
    ),
)
