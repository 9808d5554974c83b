"""What the wire can do to one attempt, and whether a run may have started."""

import asyncio
import socket
import ssl
import struct

import pytest
from support.flows import (
    Caller,
    call_of,
    http,
    raw_server,
    read_request,
    says,
    spec_of,
    turns_of_the_loop,
)

from worker.core.flow_spec import RetrySpec
from worker.core.outcome import Answered, FlowBody, Indeterminate, Refused, Unavailable
from worker.emulator.standins import Echo, FlowStandIn

ONCE = RetrySpec(attempts=1)
LARGE = bytes(20_000_000)  # more than the sockets' buffers take


@pytest.fixture
async def closed_port() -> int:
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


async def test_a_refused_port_surely_started_no_run_and_is_tried_again(caller: Caller, closed_port: int) -> None:
    outcome = await caller.call(spec_of(f"http://127.0.0.1:{closed_port}/x?sig=secret", auth="sas"))
    assert isinstance(outcome, Unavailable)
    assert outcome.attempts == 3
    assert "secret" not in outcome.detail


async def test_an_unknown_name_surely_started_no_run(caller: Caller) -> None:
    outcome = await caller.call(spec_of("https://flows.invalid/x?sig=secret", auth="sas", retry=ONCE))
    assert isinstance(outcome, Unavailable)
    assert outcome.detail == "The name flows.invalid could not be resolved."


async def test_a_failed_tls_handshake_surely_started_no_run(caller: Caller) -> None:
    async def speak_plainly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with raw_server(speak_plainly) as url:
        outcome = await caller.call(spec_of(url.replace("http:", "https:"), auth="none", retry=ONCE))
    assert isinstance(outcome, Unavailable)
    assert "TLS" in outcome.detail


async def test_an_untrusted_certificate_surely_started_no_run(caller: Caller, self_signed: ssl.SSLContext) -> None:
    async with FlowStandIn(ssl_context=self_signed) as flow:
        outcome = await caller.call(spec_of(flow.url_of("x"), retry=ONCE))
        assert isinstance(outcome, Unavailable)
        assert "certificate" in outcome.detail
        assert len(flow.calls) == 0


async def test_a_connection_closed_before_reading_may_have_started_a_run(caller: Caller) -> None:
    async def hang_up(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        """The connection is accepted, so the request leaves; nobody can say who read it."""

    async with raw_server(hang_up) as url:
        outcome = await caller.call(spec_of(url, auth="none"))
    assert isinstance(outcome, Indeterminate)
    assert outcome.attempts == 1


async def test_a_kept_connection_that_the_server_dropped_leaves_the_call_in_doubt(caller: Caller) -> None:
    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await reader.readexactly(1)  # the next request begins, and the connection ends

    async with raw_server(answer_once) as url:
        spec = spec_of(url, auth="none")
        client = await caller.client(spec)
        first = await client.start(call_of(spec)).run()
        second = await client.start(call_of(spec)).run()
    assert isinstance(first, Answered)
    assert isinstance(second, Indeterminate)
    assert second.attempts == 1


async def test_an_answer_that_nobody_asked_for_is_not_the_next_calls(caller: Caller) -> None:
    connections = 0

    async def answer_and_add(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await read_request(reader)
        writer.write(http(200, body=b"own %d" % connections))
        await first_read.wait()
        writer.write(http(200, body=b"stray"))
        was_added.set()
        await reader.read()

    first_read, was_added = asyncio.Event(), asyncio.Event()
    async with raw_server(answer_and_add) as url:
        spec = spec_of(url, auth="none")
        client = await caller.client(spec)
        first = await client.start(call_of(spec)).run()
        first_read.set()
        await was_added.wait()
        await turns_of_the_loop()
        second = await client.start(call_of(spec)).run()
    assert isinstance(first, Answered)
    assert isinstance(second, Answered)
    assert (first.body.content, second.body.content) == (b"own 1", b"own 2")


async def test_a_connection_that_answers_before_it_is_asked_is_heard_once(caller: Caller) -> None:
    connections = 0

    async def answer_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.write(http(503, "Connection: close", body=b"busy"))
        await read_request(reader)

    async with raw_server(answer_at_once) as url:
        outcome = await caller.call(spec_of(url, auth="none"))
    assert isinstance(outcome, Indeterminate)
    assert outcome.http_status == 503
    assert connections == 1


@pytest.mark.parametrize("method", ["POST", "PATCH", "GET", "PUT", "DELETE"])
async def test_a_request_is_not_sent_twice_not_even_one_that_http_calls_idempotent(caller: Caller, method: str) -> None:
    requests: list[bytes] = []

    async def swallow(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        requests.append(await read_request(reader))

    async with raw_server(swallow) as url:
        outcome = await caller.call(spec_of(url, auth="none", method=method))
    assert isinstance(outcome, Indeterminate)
    assert len(requests) == 1


async def test_an_idempotent_flow_is_called_again_after_a_lost_connection(caller: Caller) -> None:
    requests: list[bytes] = []

    async def answer_the_second(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await read_request(reader))
        if len(requests) == 2:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with raw_server(answer_the_second) as url:
        outcome = await caller.call(spec_of(url, auth="none", idempotent=True))
    assert isinstance(outcome, Answered)
    assert outcome.attempts == 2


async def test_a_doubt_is_not_forgotten_when_later_attempts_surely_did_not_run(caller: Caller) -> None:
    server_closed = asyncio.Event()

    async def swallow(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        server_closed.set()

    async with raw_server(swallow) as url:
        spec = spec_of(url, auth="none", idempotent=True, retry=RetrySpec(attempts=3, first_s=0.3, max_s=0.3))
        running = asyncio.create_task((await caller.start(spec)).run())
        await server_closed.wait()
    outcome = await running
    assert isinstance(outcome, Indeterminate)
    assert outcome.attempts > 1


async def test_a_hanging_flow_is_left_at_its_timeout(caller: Caller) -> None:
    async def hang(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with raw_server(hang) as url:
        outcome = await caller.call(spec_of(url, auth="none", timeout_s=0.2))
    assert isinstance(outcome, Indeterminate)
    assert outcome.detail.startswith("The time was up before an answer came")


async def test_an_attempt_ends_with_the_deadline_not_with_the_flows_timeout(caller: Caller) -> None:
    async def hang(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with raw_server(hang) as url:
        before = asyncio.get_running_loop().time()
        outcome = await caller.call(spec_of(url, auth="none", timeout_s=30.0), within_s=0.5)
        took_s = asyncio.get_running_loop().time() - before
    assert isinstance(outcome, Indeterminate)
    assert 0.5 <= took_s < 1.5


async def test_a_dripping_body_cannot_outlast_the_timeout(caller: Caller) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nx-ms-workflow-run-id: 0858\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b".")
            await asyncio.sleep(0.02)

    async with raw_server(drip) as url:
        outcome = await caller.call(spec_of(url, auth="none", timeout_s=0.3))
    assert isinstance(outcome, Indeterminate)
    assert (outcome.http_status, outcome.run_id) == (200, "0858")


async def test_dripping_headers_cannot_outlast_the_timeout(caller: Caller) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        for byte in http(200, *["X: y"] * 1_000):
            writer.write(bytes([byte]))
            await asyncio.sleep(0.01)

    async with raw_server(drip) as url:
        outcome = await caller.call(spec_of(url, auth="none", timeout_s=0.3))
    assert isinstance(outcome, Indeterminate)
    assert (outcome.http_status, outcome.attempts) == (None, 1)


@pytest.mark.parametrize(
    ("status", "run_id", "kind"),
    [(200, "0858", Indeterminate), (500, "0858", Indeterminate), (500, None, Indeterminate), (404, None, Refused)],
)
async def test_a_body_that_stalls_after_the_headers_is_left_at_the_timeout(
    caller: Caller, status: int, run_id: str | None, kind: type[Indeterminate | Refused]
) -> None:
    headers = [] if run_id is None else [f"x-ms-workflow-run-id: {run_id}"]

    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(http(status, *headers, body=b"never comes").removesuffix(b"never comes"))
        await reader.read()

    async with raw_server(stall) as url:
        outcome = await caller.call(spec_of(url, auth="none", timeout_s=0.2))
    assert isinstance(outcome, kind)
    assert (outcome.http_status, outcome.run_id, outcome.attempts) == (status, run_id, 1)
    assert "the time was up before the whole answer arrived" in outcome.detail


async def test_a_large_body_arrives_whole_and_as_what_it_is(caller: Caller, flow: FlowStandIn) -> None:
    flow.script("x", Echo())
    outcome = await caller.call(spec_of(flow.url_of("x"), max_response_bytes=len(LARGE)), body=LARGE)
    assert isinstance(outcome, Answered)
    assert outcome.body == FlowBody(content=LARGE, content_type="application/json")
    assert flow.calls[0].headers["content-length"] == str(len(LARGE))


@pytest.mark.parametrize("is_idempotent", [False, True], ids=["once", "idempotent"])
@pytest.mark.parametrize("is_reset", [False, True], ids=["closed", "reset"])
async def test_a_connection_lost_while_the_body_is_sent_leaves_the_call_in_doubt(
    caller: Caller, *, is_reset: bool, is_idempotent: bool
) -> None:
    async def lose(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if is_reset:
            lingering_for_no_time = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, lingering_for_no_time)

    async with raw_server(lose) as url:
        outcome = await caller.call(spec_of(url, auth="none", idempotent=is_idempotent), body=LARGE)
    assert isinstance(outcome, Indeterminate)
    assert outcome.attempts == (3 if is_idempotent else 1)


@pytest.mark.parametrize("is_closed", [True, False], ids=["closes", "reads no more"])
async def test_a_413_that_comes_before_the_body_was_read_is_heard(caller: Caller, *, is_closed: bool) -> None:
    requests = 0

    async def turn_away(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        requests += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(http(413, body=b'{"error":{"code":"RequestEntityTooLarge"}}'))
        if not is_closed:
            await asyncio.Event().wait()

    async with raw_server(turn_away) as url:
        spec = spec_of(url, auth="none", idempotent=True)
        client = await caller.client(spec)
        outcomes = [await client.start(call_of(spec, body=LARGE)).run() for _ in range(2)]
    for outcome in outcomes:
        assert isinstance(outcome, Refused)
        assert (outcome.http_status, outcome.code, outcome.attempts) == (413, "RequestEntityTooLarge", 1)
    assert requests == 2, "a connection on which half a request was sent is not used again"


async def test_a_redirect_is_refused_and_not_followed(caller: Caller) -> None:
    async with raw_server(says(b"HTTP/1.1 307 X\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")) as url:
        outcome = await caller.call(spec_of(url, auth="none"))
    assert isinstance(outcome, Refused)
    assert outcome.http_status == 307
    assert outcome.attempts == 1
