"""What the door says to callers over HTTP: to those who may ask, to those who may not, and to those who speak badly."""

import asyncio
import json
import re
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest
import structlog
from acceptance.test_metrics import named, scraped, value

from worker.admin import listening
from worker.door import counter, server
from worker.door.form import HEADERS_LIMIT_BYTES
from worker.emulator.standins.signing import claims_of_version_1, new_key, segment, sign
from worker.emulator.standins.tokens import Claims, issue

from .opened import AUDIENCE, ERP, MOST_WAITING, POLLER, SHOP, STRANGER, Answered, Door

pytestmark = pytest.mark.asyncio(loop_scope="module")

GOLDEN: Final = Path(__file__).parents[1] / "golden" / "door_metrics.txt"
FOREIGN: Final = "7e000000-0000-4000-8000-000000000009"
NOBODYS: Final = "door-0.1800000000.AAAAAAAAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAA"
CHUNKS: Final = b"3\r\nabc\r\n0\r\n\r\n"
SMUGGLED: Final = b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
PATHS: Final = (
    "/v1/flows/flow",
    "/v1/requests/x",
    "/v1/sessions",
    "/openapi.json",
    "/livez",
    "/readyz",
    "/",
    "/status",
)
TRACEBACK: Final = re.compile(rb"Traceback|File \"|Error:|flow-requests|/work|aiohttp", re.IGNORECASE)
Log: TypeAlias = list[Any]


@pytest.fixture
def log() -> Iterator[Log]:
    with structlog.testing.capture_logs() as log:
        yield log


@asynccontextmanager
async def connected(door: Door) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    try:
        async with asyncio.timeout(10):
            yield reader, writer
    finally:
        writer.close()


async def heard(door: Door, raw: bytes) -> bytes:
    """What comes before the door closes the connection."""
    answers = b""
    async with connected(door) as (reader, writer):
        writer.write(raw)
        with suppress(ConnectionResetError):  # where it didn't read all of this
            while part := await reader.read(65_536):
                answers += part
    return answers


def statuses(answers: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3}) ", answers)]


def post(door: Door, *headers: bytes, body: bytes = b"abc", path: bytes = b"/v1/flows/flow") -> bytes:
    """A request to a flow with a good token, and with these header lines as they are."""
    lines = (b"POST " + path + b" HTTP/1.1", b"Host: a", b"Authorization: Bearer " + door.token().encode(), *headers)
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


async def test_a_flow_is_asked_and_its_own_answer_comes_back(door: Door) -> None:
    answered = await door.ask(body=b"<\xff>", headers={"Content-Type": "text/odd; charset=x"})
    assert (answered.status, answered.body) == (200, b"<\xff>")
    assert answered.headers["Content-Type"] == "text/odd; charset=x"
    assert answered.headers["Flowbridge-Outcome"] == "answered"
    assert answered.headers["Flowbridge-Attempts"] == "1"
    again = await door.call("GET", f"/v1/requests/{answered.headers['Flowbridge-Request-Id']}")
    assert (again.status, again.body) == (200, b"<\xff>")


async def test_on_loopback_a_door_may_ask_for_no_token(anonymous_door: Door) -> None:
    assert (await anonymous_door.ask(oid=None)).status == 200


def lines(log: Log, event: str) -> Log:
    return [line for line in log if line["event"] == event]


def refused_tokens(door: Door) -> dict[str, str]:
    header, claims, signature = door.token().split(".")
    unsigned = segment(json.dumps({"alg": "none", "typ": "JWT"}).encode())
    now = int(time.time())
    right = Claims(aud=AUDIENCE, exp=now + 3600, jti="1", oid=ERP)
    stranger = sign({"alg": "RS256", "kid": door.entra.signing.key_id}, claims_of_version_1(right, now=now), new_key())
    return {
        "no token": "let-me-in-please",
        "expired": door.token(exp=now - 3600),
        "for another audience": door.token(aud="https://vault.azure.net"),
        "of a foreign tenant": door.token(tid=FOREIGN),
        "unsigned": f"{header}.{claims}.",
        "algorithm none": f"{unsigned}.{claims}.",
        "algorithm none, signed": f"{unsigned}.{claims}.{signature}",
        "a stand-in's, unsigned": issue(right),
        "signed by another key": stranger,
        "of another's claims": f"{header}.{door.token(oid=STRANGER).split('.')[1]}.{signature}",
    }


async def test_a_token_that_proves_nothing_is_refused_and_not_logged(door: Door, log: Log) -> None:
    for what, token in refused_tokens(door).items():
        for method, path in (("POST", "/v1/flows/flow"), ("GET", f"/v1/requests/{NOBODYS}"), ("POST", "/v1/sessions")):
            answered = await door.call(method, path, oid=None, headers={"Authorization": f"Bearer {token}"})
            assert answered.status == (403 if what == "of a foreign tenant" else 401), what
            assert answered.kind == "not-verified"
            assert answered.headers["WWW-Authenticate"].startswith("Bearer"), what
            assert lines(log, "door_refused")[-1]["why"]
            for part in token.split("."):
                assert len(part) < 8 or (part not in str(log) and part.encode() not in answered.body), what


@pytest.mark.parametrize("scheme", ["Basic", "bearer\t", "Token", ""])
async def test_only_a_bearer_token_is_a_token(door: Door, scheme: str) -> None:
    answered = await door.call("POST", "/v1/sessions", oid=None, headers={"Authorization": f"{scheme} x.y.z"})
    assert (answered.status, answered.headers["WWW-Authenticate"][:6]) == (401, "Bearer")


async def test_of_two_tokens_none_counts(door: Door) -> None:
    other = b"Authorization: Bearer " + door.token(SHOP).encode()
    answers = await heard(door, post(door, other, b"Content-Length: 3", b"Connection: close"))
    assert statuses(answers) == [401]


async def test_a_token_as_long_as_entra_makes_them_is_read(door: Door) -> None:
    answered = await door.call("POST", "/v1/sessions", oid=None, headers={"Authorization": "Bearer " + "x" * 16_000})
    assert (answered.status, answered.kind) == (401, "not-verified")


async def test_who_is_no_caller_and_who_may_not_call_this_flow_is_told_so(door: Door, log: Log) -> None:
    assert (await door.ask(oid=STRANGER)).kind == "not-allowed"
    assert STRANGER in lines(log, "door_refused")[-1]["why"]
    assert (await door.call("POST", "/v1/sessions", oid=STRANGER)).status == 403
    answered = await door.ask("checks", oid=SHOP)
    assert (answered.status, answered.kind) == (403, "flow-not-allowed")
    unknown = await door.ask("nobodys", oid=SHOP)  # who may not call it doesn't learn whether it is there
    assert (unknown.status, unknown.body) == (answered.status, answered.body)
    assert (await door.ask("nobodys")).kind == "no-such-flow"


async def test_what_others_asked_is_told_in_the_words_of_what_nobody_did(door: Door) -> None:
    asked = (await door.ask()).headers["Flowbridge-Request-Id"]
    session = (await door.call("POST", "/v1/sessions")).document["replyToSessionId"]
    unknown = await door.call("GET", f"/v1/requests/{NOBODYS}", oid=POLLER)
    assert (unknown.status, unknown.kind) == (404, "unknown")
    for path in (f"/v1/requests/{asked}", f"/v1/sessions/{session}/replies/{asked}", "/v1/requests/%00%ff"):
        answered = await door.call("GET", path, oid=SHOP)
        assert (answered.status, answered.body) == (404, unknown.body), path
    other = await door.call("GET", f"/v1/sessions/flowbridge-door-other/replies/{asked}")
    assert (other.status, other.body) == (404, unknown.body)


@asynccontextmanager
async def waiting(door: Door, count: int, *, oid: str = ERP) -> AsyncIterator[None]:
    """So many who wait for an answer that doesn't come; gone at the end."""
    before = door.open.limits.in_hand
    place = (await door.call("POST", "/v1/sessions", oid=oid)).document["reply"]
    polls = [asyncio.create_task(door.call("GET", f"{place}?wait=100", oid=oid)) for _ in range(count)]
    try:
        await door.until_in_hand(before + count)
        yield
    finally:
        for poll in polls:
            poll.cancel()
        await asyncio.gather(*polls, return_exceptions=True)
        await door.until_in_hand(before)


async def test_one_caller_waits_as_often_as_it_may(door: Door) -> None:
    async with waiting(door, 1, oid=SHOP):
        answered = await door.ask("slow", oid=SHOP)
        assert (answered.status, answered.kind, answered.headers["Retry-After"]) == (429, "too-many", "1")
        assert (await door.ask()).status == 200
    assert (await door.ask("slow", oid=SHOP)).status == 200


async def test_one_caller_asks_as_often_as_it_may(door: Door) -> None:
    assert (await door.ask(oid=POLLER)).status == 200
    answered = await door.ask(oid=POLLER)
    assert (answered.status, answered.kind) == (429, "too-many")
    assert 900 < int(answered.headers["Retry-After"]) <= 1000


async def test_all_together_wait_as_often_as_the_door_takes(door: Door) -> None:
    async with waiting(door, MOST_WAITING):
        answered = await door.ask()
        assert (answered.status, answered.kind, answered.headers["Retry-After"]) == (503, "busy", "1")
        assert (await door.call("GET", "/readyz", oid=None)).status == 200
    assert (await door.ask()).status == 200


async def test_a_wait_that_ends_first_says_where_to_ask_on(door: Door) -> None:
    pending = await door.ask("slow", headers={"Prefer": "wait=0"})
    assert (pending.status, pending.headers["Preference-Applied"]) == (202, "wait=0")
    assert pending.headers["Location"] == pending.document["answer"]
    answered = await door.call("GET", pending.headers["Location"])
    assert (answered.status, answered.body) == (200, b'{"n":1}')


async def test_who_goes_while_waiting_gets_the_answer_when_asking_again(door: Door) -> None:
    key = {"Idempotency-Key": "goes away"}
    calls = len(door.house.flow.calls)
    first = asyncio.create_task(door.ask("slow", headers=key))
    await door.until_in_hand(1)
    first.cancel()
    await door.until_in_hand(0)
    assert (await door.ask("slow", headers=key)).body == b'{"n":1}'
    assert len(door.house.flow.calls) == calls + 1


@pytest.mark.parametrize("key", ["", " ", "k" * 129, "schlüssel"])
async def test_an_odd_idempotency_key_is_refused(door: Door, key: str) -> None:
    answered = await door.ask(headers={"Idempotency-Key": key})
    assert (answered.status, answered.kind) == (400, "bad-key")


@pytest.mark.parametrize("content_type", [b"text/\xff", b"text/" + b"x" * 300])
async def test_an_odd_content_type_is_refused(door: Door, content_type: bytes) -> None:
    headers = (b"Content-Type: " + content_type, b"Content-Length: 3", b"Connection: close")
    answers = await heard(door, post(door, *headers))
    assert (statuses(answers), b"bad-content-type" in answers) == ([400], True)


async def test_an_odd_trace_is_ignored(door: Door) -> None:
    traces = (b"traceparent: \xff", b"tracestate: " + b"x" * 2_000)
    assert statuses(await heard(door, post(door, *traces, b"Content-Length: 3", b"Connection: close"))) == [200]
    assert not {"traceparent", "tracestate"} & set(door.house.flow.calls[-1].headers)


@pytest.mark.parametrize("query", ["wait=", "wait=-1", "wait=1.5", "wait=soon", "wait=1&wait=2", "wait=%d9%a3"])
async def test_an_odd_wait_is_refused(door: Door, query: str) -> None:
    asked = (await door.ask()).headers["Flowbridge-Request-Id"]
    answered = await door.call("GET", f"/v1/requests/{asked}?{query}")
    assert (answered.status, answered.kind) == (400, "bad-wait")


@pytest.mark.parametrize("flow", ["%00", "a%2Fb", "%ff%fe", "%ed%a0%80", "%zz", "f" * 101, ".."])
async def test_an_odd_name_is_no_flows(door: Door, flow: str) -> None:
    assert (await door.ask(flow)).status == 404


SPOKEN_BADLY: Final = {
    "length and chunks": ((b"Content-Length: 13", b"Transfer-Encoding: chunked"), CHUNKS),
    "chunks and length": ((b"Transfer-Encoding: chunked", b"Content-Length: 3"), CHUNKS),
    "two lengths": ((b"Content-Length: 3", b"Content-Length: 5"), b"abc"),
    "one length twice": ((b"Content-Length: 3", b"Content-Length: 3"), b"abc"),
    "a list of lengths": ((b"Content-Length: 3, 3",), b"abc"),
    "length with plus": ((b"Content-Length: +3",), b"abc"),
    "length below nothing": ((b"Content-Length: -3",), b"abc"),
    "length with a space": ((b"Content-Length: 3 4",), b"abc"),
    "length with underscore": ((b"Content-Length: 0_3",), b"abc"),
    "length in hex": ((b"Content-Length: 0x3",), b"abc"),
    "length of nothing": ((b"Content-Length: ",), b"abc"),
    "length beyond numbers": ((b"Content-Length: " + b"9" * 30,), b"abc"),
    "length in other digits": (("Content-Length: \u0663".encode(),), b"abc"),
    "space before the colon": ((b"Content-Length : 3",), b"abc"),
    "space in a name": ((b"X y: z", b"Content-Length: 3"), b"abc"),
    "a folded line": ((b"X: y\r\n z", b"Content-Length: 3"), b"abc"),
    "a folded length": ((b"Content-Length: 3\r\n 4",), b"abc"),
    "a bare line feed": ((b"X: y\nContent-Length: 3",), b"abc"),
    "a bare carriage return": ((b"X: y\rContent-Length: 3",), b"abc"),
    "a null": ((b"X: y\0z", b"Content-Length: 3"), b"abc"),
    "two hosts": ((b"Host: b", b"Content-Length: 3"), b"abc"),
    "an unknown coding": ((b"Transfer-Encoding: xchunked",), CHUNKS),
    "no coding": ((b"Transfer-Encoding: identity", b"Content-Length: 3"), b"abc"),
    "chunks twice": ((b"Transfer-Encoding: chunked, chunked",), CHUNKS),
    "chunks in two lines": ((b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), CHUNKS),
    "chunks after a tab": ((b"Transfer-Encoding: \x0bchunked",), CHUNKS),
    "a chunk of garbage": ((b"Transfer-Encoding: chunked",), b"zz\r\nabc\r\n0\r\n\r\n"),
    "a chunk with plus": ((b"Transfer-Encoding: chunked",), b"+3\r\nabc\r\n0\r\n\r\n"),
    "a chunk below nothing": ((b"Transfer-Encoding: chunked",), b"-3\r\nabc\r\n0\r\n\r\n"),
    "a chunk in 0x": ((b"Transfer-Encoding: chunked",), b"0x3\r\nabc\r\n0\r\n\r\n"),
    "a chunk with a space": ((b"Transfer-Encoding: chunked",), b" 3\r\nabc\r\n0\r\n\r\n"),
    "a chunk of no size": ((b"Transfer-Encoding: chunked",), b"\r\nabc\r\n0\r\n\r\n"),
    "a chunk beyond numbers": ((b"Transfer-Encoding: chunked",), b"F" * 18 + b"\r\nabc\r\n0\r\n\r\n"),
    "a chunk longer than it says": ((b"Transfer-Encoding: chunked",), b"3\r\nabcd\r\n0\r\n\r\n"),
    "chunks by line feeds": ((b"Transfer-Encoding: chunked",), b"3\nabc\n0\n\n"),
    "a chunk with a line feed": ((b"Transfer-Encoding: chunked",), b"3;a\nb\r\nabc\r\n0\r\n\r\n"),
    "a header of 40 kB": ((b"X: " + b"x" * 40_000, b"Content-Length: 3"), b"abc"),
    "many headers": ((b"X: y",) * 200 + (b"Content-Length: 3",), b"abc"),
}


@pytest.mark.parametrize("what", SPOKEN_BADLY)
async def test_a_request_of_two_meanings_has_none(door: Door, what: str) -> None:
    headers, body = SPOKEN_BADLY[what]
    calls = len(door.house.flow.calls)
    answers = await heard(door, post(door, *headers, body=body + SMUGGLED))
    assert statuses(answers) == [400]  # and the connection has ended before the second
    assert TRACEBACK.search(answers) is None
    await door.until_in_hand(0)
    assert len(door.house.flow.calls) == calls


@pytest.mark.parametrize(
    "raw",
    [
        b"POST /v1/sessions HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"G@T /livez HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /livez HTTP/1.2\r\nHost: a\r\n\r\n",
        b"GET /v1/flows/\xff HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
async def test_what_is_not_http_ends_the_connection(door: Door, raw: bytes) -> None:
    answers = await heard(door, raw)
    assert statuses(answers) == [400]
    assert TRACEBACK.search(answers) is None


@pytest.mark.parametrize(
    ("headers", "status", "kind"),
    [
        ((b"Transfer-Encoding: gzip, chunked",), 501, "unknown-transfer-coding"),
        ((b"Transfer-Encoding: chunked", b"Content-Encoding: gzip"), 415, "encoded"),
        ((b"Transfer-Encoding: chunked", b"Content-Encoding: odd"), 415, "encoded"),
        ((b"Transfer-Encoding: chunked", *[b"X: " + b"x" * 500] * 80), 431, "headers-too-large"),
    ],
)
async def test_what_the_door_does_not_do_is_refused_in_a_sentence(
    door: Door, headers: tuple[bytes, ...], status: int, kind: str
) -> None:
    answers = await heard(door, post(door, *headers, b"Connection: close", body=CHUNKS))
    assert statuses(answers) == [status]
    assert f"urn:flowbridge:door:{kind}".encode() in answers


async def test_headers_may_be_as_long_as_they_need(door: Door) -> None:
    fill = b"X: " + b"x" * 600
    headers = [fill] * (HEADERS_LIMIT_BYTES // 700)
    assert statuses(await heard(door, post(door, *headers, b"Content-Length: 3", b"Connection: close"))) == [200]


async def test_the_host_in_a_target_means_nothing(door: Door) -> None:
    raw = post(door, b"Content-Length: 3", b"Connection: close", path=b"http://other/v1/flows/flow")
    assert statuses(await heard(door, raw)) == [200]


async def test_requests_in_a_row_are_answered_in_their_order(door: Door) -> None:
    slow = post(door, b"Content-Length: 4", body=b"slow", path=b"/v1/flows/slow")
    chunked = post(door, b"Transfer-Encoding: chunked", body=b"3;x=y\r\nabc\r\n0\r\nX: y\r\n\r\n")
    last = post(door, b"Content-Length: 4", b"Connection: close", body=b"last")
    answers = await heard(door, slow + chunked + last)
    assert statuses(answers) == [200, 200, 200]
    assert re.findall(rb"\r\n\r\n(slow|abc|last)", answers) == [b"slow", b"abc", b"last"]


async def test_headers_that_come_slowly_are_cut_off(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "HEADERS_WITHIN_S", 0.1)
    async with connected(door) as (reader, writer):
        writer.write(b"POST /v1/flows/flow HTTP/1.1\r\nHost: a\r\nX: ")
        assert await reader.read() == b""


async def test_who_takes_no_answers_loses_the_connection(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "TAKEN_WITHIN_S", 0.1)
    loop = asyncio.get_running_loop()
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        deaf.setblocking(False)
        await loop.sock_connect(deaf, ("127.0.0.1", door.port))

        async def ask_without_end() -> None:
            while True:
                await loop.sock_sendall(deaf, b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n" * 1_000)

        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            await asyncio.wait_for(ask_without_end(), 10)


async def test_a_body_that_comes_slowly_is_cut_off(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counter, "BODY_WITHIN_S", 0.1)
    async with connected(door) as (reader, writer):
        writer.write(post(door, b"Content-Length: 10"))
        head = await reader.readuntil(b"\r\n\r\n")
        assert statuses(head) == [408]
        assert b"Connection: close" in head
    await door.until_in_hand(0)


async def test_a_body_that_breaks_off_is_nobodys_request(door: Door) -> None:
    calls = len(door.house.flow.calls)
    async with connected(door) as (_, writer):
        writer.write(post(door, b"Content-Length: 10"))
        await door.until_in_hand(1)
    await door.until_in_hand(0)
    assert len(door.house.flow.calls) == calls


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ((b"Content-Length: 196609",), b"abc"),
        ((b"Transfer-Encoding: chunked",), b"".join(b"10000\r\n" + b"x" * 65_536 + b"\r\n" for _ in range(4))),
    ],
    ids=["length", "chunks"],
)
async def test_a_body_that_is_too_large_is_refused_before_it_has_come(
    door: Door, headers: tuple[bytes, ...], body: bytes
) -> None:
    async with connected(door) as (reader, writer):
        writer.write(post(door, *headers, body=body))
        head = await reader.readuntil(b"\r\n\r\n")
        assert statuses(head) == [413]
        assert b"Connection: close" in head


async def test_the_largest_body_passes(door: Door) -> None:
    assert (await door.ask(body=b"x" * 196_608)).status == 200


async def test_who_asks_whether_to_go_on_is_told_once_the_body_is_wanted(door: Door) -> None:
    expect = (b"Expect: 100-continue", b"Content-Length: 3", b"Connection: close")
    async with connected(door) as (reader, writer):
        writer.write(post(door, *expect, body=b""))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"abc")
        answers = await reader.read()
    assert (statuses(answers), answers[-3:]) == ([200], b"abc")


@pytest.mark.parametrize(
    ("authorization", "length", "status"), [(b"", b"3", 401), (None, b"300000", 413)], ids=["no token", "too large"]
)
async def test_who_asks_whether_to_go_on_and_is_refused_sends_no_body(
    door: Door, authorization: bytes | None, length: bytes, status: int
) -> None:
    raw = post(door, b"Expect: 100-continue", b"Content-Length: " + length, body=b"")
    if authorization is not None:
        raw = re.sub(rb"Authorization: [^\r]*\r\n", authorization, raw)
    async with connected(door) as (reader, writer):
        writer.write(raw)
        head = await reader.readuntil(b"\r\n\r\n")
        assert statuses(head) == [status]
        assert b"Connection: close" in head


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE", "PUT", "PATCH", "DELETE"])
async def test_other_methods_do_nothing(door: Door, method: str) -> None:
    asked = (await door.ask()).headers["Flowbridge-Request-Id"]
    for path in ("/v1/flows/flow", f"/v1/requests/{asked}", "/v1/sessions"):
        answered = await door.call(method, path)
        assert (answered.status, answered.headers["Allow"] in {"GET", "POST"}) == (405, True)


async def test_the_door_is_no_proxy(door: Door) -> None:
    answers = await heard(door, b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\nabc\r\n\r\n")
    assert set(statuses(answers)) <= {400, 404, 405}


async def test_every_answer_forbids_to_store_to_frame_to_guess_and_to_read_from_elsewhere(door: Door) -> None:
    cross = {"Origin": "https://example.com", "Access-Control-Request-Method": "POST"}
    for path in (*PATHS, "/v1/requests/x?wait=x"):
        for method in ("GET", "POST", "OPTIONS"):
            answered = await door.call(method, path, headers=cross)
            assert not [name for name in answered.headers if name.lower().startswith("access-control")]
            assert answered.headers["Cache-Control"] == "no-store", path
            assert answered.headers["X-Content-Type-Options"] == "nosniff", path
            assert "frame-ancestors 'none'" in answered.headers["Content-Security-Policy"], path
            assert answered.headers["Server"] == "flowbridge"
            assert answered.status < 400 or answered.kind
            assert answered.status < 400 or TRACEBACK.search(answered.body) is None


async def test_a_defect_is_logged_and_counted_and_tells_nothing(
    door: Door, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(type(door.open.desk), "issue")
    answered = await door.call("POST", "/v1/sessions")
    assert (answered.status, answered.kind, b"issue" in answered.body) == (500, "defect", False)
    assert [line["path"] for line in lines(log, "door_failed")] == ["/v1/sessions"]
    text = await scraped(door.open.http_port)
    assert value(text, "flowbridge_door_responses_total", route="session", status="500") == 1


async def test_names_labels_and_words_of_metrics_are_those_that_operators_know(door: Door) -> None:
    assert isinstance(await door.ask(), Answered)
    await door.call("GET", "/v1/nothing")
    text = await scraped(door.open.http_port)
    assert named(text) == GOLDEN.read_text()
    assert value(text, "flowbridge_door_responses_total", route="ask", status="200") >= 1
    assert value(text, "flowbridge_door_responses_total", route="(none)", status="404") >= 1
    assert value(text, "flowbridge_door_answers_total", outcome="answered") >= 1
