"""What the wire can do to one attempt, and whether a run may have started."""

import asyncio
import gzip
import ssl
import tracemalloc

import pytest
from support.flows import Caller, call_of, raw_server, read_request, says, spec_of

from worker.core.flow_spec import RetrySpec
from worker.core.outcome import Answered, Indeterminate, Refused, Unavailable
from worker.emulator.standins import FlowStandIn

ONCE = RetrySpec(attempts=1)


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


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_a_method_that_http_calls_idempotent_is_not_sent_twice(caller: Caller, method: str) -> None:
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


CUT_ANSWERS = {
    "truncated body": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
    "truncated chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nshort",
    "garbage": b"\x16\x03\x01 this is no HTTP \x00\r\n\r\n",
    "nothing": b"",
    "half a status line": b"HTTP/1.1 20",
    "huge header": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    "too many headers": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
    "broken gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
    "brotli that nobody asked for": b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 4\r\n\r\nnope",
    "more than it said": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole and more",
    "only 100 Continue": b"HTTP/1.1 100 Continue\r\n\r\n",
}


@pytest.mark.parametrize("answer", CUT_ANSWERS.values(), ids=CUT_ANSWERS.keys())
async def test_an_answer_that_is_not_whole_leaves_the_call_in_doubt(caller: Caller, answer: bytes) -> None:
    async with raw_server(says(answer)) as url:
        outcome = await caller.call(spec_of(f"{url}?sig=secret", auth="sas"))
    assert isinstance(outcome, Indeterminate)
    assert outcome.attempts == 1
    assert "secret" not in outcome.detail


async def test_an_answer_cut_off_still_tells_status_and_run(caller: Caller) -> None:
    async with raw_server(
        says(b"HTTP/1.1 201 Created\r\nx-ms-workflow-run-id: 0858\r\nContent-Length: 9\r\n\r\nshort")
    ) as url:
        outcome = await caller.call(spec_of(url, auth="none"))
    assert isinstance(outcome, Indeterminate)
    assert (outcome.http_status, outcome.run_id) == (201, "0858")


INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n"
WHOLE_ANSWERS = {
    "HTTP/1.0 until the end": (b"HTTP/1.0 200 OK\r\n\r\nwhole", b"whole"),
    "100 Continue first": (
        INTERIM + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole",
        b"whole",
    ),
    "empty": (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    "HTML": (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>", b"<html>"),
    "gzip": (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n" + gzip.compress(b"whole"),
        b"whole",
    ),
}


@pytest.mark.parametrize(("answer", "body"), WHOLE_ANSWERS.values(), ids=WHOLE_ANSWERS.keys())
async def test_an_unusual_but_whole_answer_is_the_flows_answer(caller: Caller, answer: bytes, body: bytes) -> None:
    async with raw_server(says(answer)) as url:
        outcome = await caller.call(spec_of(url, auth="none"))
    assert isinstance(outcome, Answered)
    assert outcome.body.content == body


async def test_headers_that_amqp_could_not_carry_are_made_fit(caller: Caller) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/\xff\r\nx-ms-workflow-run-id: 08\xff\r\nContent-Length: 2\r\n\r\nok"
    async with raw_server(says(head)) as url:
        outcome = await caller.call(spec_of(url, auth="none"))
    assert isinstance(outcome, Answered)
    assert (outcome.body.content_type, outcome.run_id) == (None, "08?")


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


async def test_a_body_without_end_is_read_no_further_than_its_limit(caller: Caller) -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nx-ms-workflow-run-id: 0858\r\n\r\n")
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()

    async with raw_server(flood) as url:
        outcome = await caller.call(spec_of(url, auth="none", max_response_bytes=1_000_000))
    assert isinstance(outcome, Indeterminate)
    assert (outcome.code, outcome.http_status, outcome.run_id) == ("TooLarge", 200, "0858")


async def test_a_gzip_bomb_is_not_unpacked(caller: Caller) -> None:
    bomb = gzip.compress(bytes(60_000_000), compresslevel=9)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    async with raw_server(says(head + bomb)) as url:
        spec = spec_of(url, auth="none", max_response_bytes=1_000_000)
        call = await caller.start(spec)
        tracemalloc.start()
        try:
            outcome = await call.run()
            peak_bytes = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert isinstance(outcome, Indeterminate)
    assert outcome.code == "TooLarge"
    assert peak_bytes < 20_000_000


async def test_an_answer_as_large_as_the_limit_passes(caller: Caller) -> None:
    async with raw_server(says(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole")) as url:
        outcome = await caller.call(spec_of(url, auth="none", max_response_bytes=5))
    assert isinstance(outcome, Answered)


async def test_a_redirect_is_refused_and_not_followed(caller: Caller) -> None:
    async with raw_server(says(b"HTTP/1.1 307 X\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")) as url:
        outcome = await caller.call(spec_of(url, auth="none"))
    assert isinstance(outcome, Refused)
    assert outcome.http_status == 307
    assert outcome.attempts == 1
