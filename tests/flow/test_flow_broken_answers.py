"""Answers that are not whole, or hardly HTTP, or without end: what they leave known about the run."""

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from support.flows import QUICK, Caller, http, raw_server, read_request, says, says_in_pieces, spec_of

from worker.core.outcome import Answered, Indeterminate

OK = b"HTTP/1.1 200 OK\r\n"
OF_A_RUN = OK + b"x-ms-workflow-run-id: 0858\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
WHOLE = b"Content-Length: 5\r\n\r\nwhole"
TEXT = bytes(range(256)) * 9


def deflated(body: bytes, *, window_bits: int = zlib.MAX_WBITS) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, window_bits)
    return packer.compress(body) + packer.flush()


def packed(coding: str, body: bytes) -> bytes:
    return http(200, f"Content-Encoding: {coding}", body=body)


@contextmanager
def memory_below(limit_bytes: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < limit_bytes


CUT_ANSWERS = {
    "truncated body": OK + b"Content-Length: 100\r\n\r\nshort",
    "more than it said": OK + b"Content-Length: 5\r\n\r\nwhole and more",
    "two lengths": OK + b"Content-Length: 5\r\n" + WHOLE,
    "two lengths that differ": OK + b"Content-Length: 4\r\n" + WHOLE,
    "negative length": OK + b"Content-Length: -5\r\n\r\nwhole",
    "length in words": OK + b"Content-Length: five\r\n\r\nwhole",
    "length beyond 64 bits": OK + b"Content-Length: 99999999999999999999\r\n\r\nwhole",
    "largest length": OK + b"Content-Length: 9223372036854775807\r\n\r\nwhole",
    "length and chunks": OK + b"Content-Length: 5\r\n" + CHUNKED + b"5\r\nwhole\r\n0\r\n\r\n",
    "chunks and length": OK + b"Transfer-Encoding: chunked\r\nContent-Length: 15\r\n\r\n5\r\nwhole\r\n0\r\n\r\n",
    "truncated chunk": OK + CHUNKED + b"64\r\nshort",
    "no last chunk": OK + CHUNKED + b"5\r\nwhole\r\n",
    "half a last chunk": OK + CHUNKED + b"5\r\nwhole\r\n0\r\n",
    "chunk size beyond 64 bits": OK + CHUNKED + b"ffffffffffffffffffff\r\nwhole\r\n0\r\n\r\n",
    "negative chunk size": OK + CHUNKED + b"-5\r\nwhole\r\n0\r\n\r\n",
    "chunk size in words": OK + CHUNKED + b"five\r\nwhole\r\n0\r\n\r\n",
    "chunk longer than it said": OK + CHUNKED + b"3\r\nwhole\r\n0\r\n\r\n",
    "huge trailer": OK + CHUNKED + b"5\r\nwhole\r\n0\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    "header without colon": OK + b"no colon here\r\n" + WHOLE,
    "header without name": OK + b": x\r\n" + WHOLE,
    "NUL in a header's name": OK + b"X\0: y\r\n" + WHOLE,
    "NUL in a header": OK + b"X: y\0\r\n" + WHOLE,
    "NUL in the run id": OK + b"x-ms-workflow-run-id: 08\0\r\n" + WHOLE,
    "huge header": OK + b"X: " + b"x" * 100_000 + b"\r\n\r\n",
    "huge header of an error": b"HTTP/1.1 429 Throttled\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    "too many headers": OK + b"X: y\r\n" * 20_000 + b"\r\n",
    "garbage": b"\x16\x03\x01 this is no HTTP \x00\r\n\r\n",
    "nothing": b"",
    "half a status line": b"HTTP/1.1 20",
    "HTTP/0.9": b"<html>whole</html>",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/2 settings": b"\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    "HTTP/2 in text": b"HTTP/2 200\r\n" + WHOLE,
    "status of two digits": b"HTTP/1.1 20 OK\r\n" + WHOLE,
    "status of four digits": b"HTTP/1.1 2000 OK\r\n" + WHOLE,
    "status in words": b"HTTP/1.1 fine OK\r\n" + WHOLE,
    "only 100 Continue": b"HTTP/1.1 100 Continue\r\n\r\n",
    "101": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x05whole",
    "101 to nothing": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "gzip that is none": packed("gzip", b"nope"),
    "gzip cut in the middle": packed("gzip", gzip.compress(TEXT)[:200]),
    "gzip without its checksum": packed("gzip", gzip.compress(TEXT)[:-8]),
    "gzip with a wrong checksum": packed("gzip", gzip.compress(TEXT)[:-8] + b"checksum"),
    "gzip with more behind": packed("gzip", gzip.compress(TEXT) + b"more"),
    "gzip cut in its second part": packed("gzip", gzip.compress(TEXT) + gzip.compress(TEXT)[:200]),
    "gzip cut off with the connection": OK
    + b"Content-Encoding: gzip\r\nConnection: close\r\n\r\n"
    + gzip.compress(TEXT)[:200],
    "deflate that is none": packed("deflate", b"nope"),
    "deflate cut in the middle": packed("deflate", deflated(TEXT)[:200]),
    "brotli that nobody asked for": packed("br", b"nope"),
    "zstd that nobody asked for": packed("zstd", b"nope"),
}


@pytest.mark.parametrize("is_idempotent", [False, True], ids=["once", "idempotent"])
@pytest.mark.parametrize("answer", CUT_ANSWERS.values(), ids=CUT_ANSWERS.keys())
async def test_an_answer_that_is_not_whole_leaves_the_call_in_doubt(
    caller: Caller, *, answer: bytes, is_idempotent: bool
) -> None:
    async with raw_server(says(answer)) as url:
        outcome = await caller.call(spec_of(f"{url}?sig=secret", auth="sas", idempotent=is_idempotent))
    assert isinstance(outcome, Indeterminate)
    assert outcome.attempts == (QUICK.attempts if is_idempotent else 1)
    assert "secret" not in outcome.detail


@pytest.mark.parametrize(
    ("body", "said"),
    [(b"Content-Length: 9\r\n\r\nshort", "was lost"), (b"Content-Encoding: gzip\r\n" + WHOLE, "compression")],
    ids=["cut off", "garbled"],
)
async def test_a_broken_body_still_tells_status_run_and_what_is_wrong(caller: Caller, body: bytes, said: str) -> None:
    async with raw_server(says(OF_A_RUN + body)) as url:
        outcome = await caller.call(spec_of(url, auth="none"))
    assert isinstance(outcome, Indeterminate)
    assert (outcome.http_status, outcome.run_id) == (200, "0858")
    assert said in outcome.detail


LATE_GARBAGE = {
    "chunk size beyond 64 bits": b"ffffffffffffffffffff\r\nwhole\r\n0\r\n\r\n",
    "chunk size in words": b"five\r\nwhole\r\n0\r\n\r\n",
    "chunk longer than it said": b"3\r\nwhole\r\n0\r\n\r\n",
    "NUL in a trailer": b"5\r\nwhole\r\n0\r\nX\0: y\r\n\r\n",
}


@pytest.mark.parametrize("rest", LATE_GARBAGE.values(), ids=LATE_GARBAGE.keys())
async def test_chunks_that_break_after_the_headers_leave_the_run_in_doubt(caller: Caller, rest: bytes) -> None:
    async with raw_server(says_in_pieces(OF_A_RUN + CHUNKED, rest)) as url:
        outcome = await caller.call(spec_of(url, auth="none", timeout_s=0.3))
    assert isinstance(outcome, Indeterminate)
    assert (outcome.http_status, outcome.run_id) == (200, "0858")


async def test_what_follows_a_whole_answer_changes_nothing_about_it(caller: Caller) -> None:
    async with raw_server(says_in_pieces(OF_A_RUN + WHOLE, b" and more")) as url:
        outcome = await caller.call(spec_of(url, auth="none"))
    assert isinstance(outcome, Answered)
    assert outcome.body.content == b"whole"


INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n"
WHOLE_ANSWERS = {
    "HTTP/1.0 until the end": (b"HTTP/1.0 200 OK\r\n\r\nwhole", b"whole"),
    "100 Continue first": (INTERIM + OK + WHOLE, b"whole"),
    "empty": (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    "HTML": (http(200, "Content-Type: text/html", body=b"<html>"), b"<html>"),
    "chunks with extensions and a trailer": (OK + CHUNKED + b"5;a=b\r\nwhole\r\n0\r\nX: y\r\n\r\n", b"whole"),
    "two answers in one": (OK + WHOLE + OK + WHOLE, b"whole"),
    "gzip": (packed("gzip", gzip.compress(TEXT)), TEXT),
    "gzip by its old name": (packed("X-GZIP", gzip.compress(TEXT)), TEXT),
    "gzip in two parts": (packed("gzip", gzip.compress(TEXT) + gzip.compress(b"!")), TEXT + b"!"),
    "gzip until the end": (
        OK + b"Content-Encoding: gzip\r\nConnection: close\r\n\r\n" + gzip.compress(TEXT),
        TEXT,
    ),
    "gzip of nothing": (packed("gzip", gzip.compress(b"")), b""),
    "nothing, called gzip": (packed("gzip", b""), b""),
    "deflate": (packed("deflate", deflated(TEXT)), TEXT),
    "deflate without the zlib header": (packed("deflate", deflated(TEXT, window_bits=-15)), TEXT),
    "a coding that is none": (packed("utf-8", TEXT), TEXT),
}


@pytest.mark.parametrize(("answer", "body"), WHOLE_ANSWERS.values(), ids=WHOLE_ANSWERS.keys())
async def test_an_unusual_but_whole_answer_is_the_flows_answer(caller: Caller, answer: bytes, body: bytes) -> None:
    async with raw_server(says(answer)) as url:
        outcome = await caller.call(spec_of(url, auth="none"))
    assert isinstance(outcome, Answered)
    assert outcome.body.content == body


@pytest.mark.parametrize("size_bytes", [1, 7, 100])
async def test_gzip_may_come_in_pieces_of_any_size(caller: Caller, size_bytes: int) -> None:
    stream = gzip.compress(b"whole, ") + gzip.compress(TEXT)
    pieces = [stream[start : start + size_bytes] for start in range(0, len(stream), size_bytes)]
    head = OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(stream)
    async with raw_server(says_in_pieces(head, *pieces)) as url:
        outcome = await caller.call(spec_of(url, auth="none"))
    assert isinstance(outcome, Answered)
    assert outcome.body.content == b"whole, " + TEXT


async def test_a_body_without_end_is_read_no_further_than_its_limit(caller: Caller) -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OF_A_RUN + b"\r\n")
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()

    async with raw_server(flood) as url:
        outcome = await caller.call(spec_of(url, auth="none", max_response_bytes=1_000_000))
    assert isinstance(outcome, Indeterminate)
    assert (outcome.code, outcome.http_status, outcome.run_id) == ("TooLarge", 200, "0858")


BOMB = bytes(60_000_000)
BOMBS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "gzip": ("gzip", lambda: gzip.compress(BOMB)),
    "deflate": ("deflate", lambda: deflated(BOMB)),
    "raw deflate": ("deflate", lambda: deflated(BOMB, window_bits=-15)),
}


@pytest.mark.parametrize("name", BOMBS)
async def test_a_bomb_is_not_unpacked(caller: Caller, name: str) -> None:
    coding, packing = BOMBS[name]
    async with raw_server(says(packed(coding, packing()))) as url:
        call = await caller.start(spec_of(url, auth="none", max_response_bytes=1_000_000))
        with memory_below(20_000_000):
            outcome = await call.run()
    assert isinstance(outcome, Indeterminate)
    assert outcome.code == "TooLarge"


async def test_a_gzip_of_empty_parts_without_end_ends_with_the_timeout(caller: Caller) -> None:
    empty_parts = gzip.compress(b"") * 100

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK + b"Content-Encoding: gzip\r\n\r\n")
        while True:
            writer.write(empty_parts)
            await writer.drain()

    async with raw_server(flood) as url:
        call = await caller.start(spec_of(url, auth="none", timeout_s=0.3))
        with memory_below(20_000_000):
            outcome = await call.run()
    assert isinstance(outcome, Indeterminate)


async def test_interim_answers_without_end_end_with_the_timeout(caller: Caller) -> None:
    async def go_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        while True:
            writer.write(INTERIM * 100)
            await writer.drain()

    async with raw_server(go_on) as url:
        call = await caller.start(spec_of(url, auth="none", timeout_s=0.3))
        with memory_below(20_000_000):
            outcome = await call.run()
    assert isinstance(outcome, Indeterminate)
    assert outcome.detail.startswith("The time was up before an answer came")


@pytest.mark.parametrize("coding", ["identity", "gzip"])
async def test_an_answer_as_large_as_the_limit_passes(caller: Caller, coding: str) -> None:
    body = gzip.compress(TEXT) if coding == "gzip" else TEXT
    async with raw_server(says(packed(coding, body))) as url:
        fits = await caller.call(spec_of(url, auth="none", max_response_bytes=len(TEXT)))
        does_not = await caller.call(spec_of(url, auth="none", max_response_bytes=len(TEXT) - 1))
    assert isinstance(fits, Answered)
    assert isinstance(does_not, Indeterminate)
    assert does_not.code == "TooLarge"
