import asyncio
from collections.abc import Sequence

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.cli.bench.web_flow import Refused, RequestReader, web_flow

HEAD = b"POST /flow HTTP/1.1\r\nHost: 127.0.0.1\r\n"
BODIES = st.lists(st.binary(max_size=60), max_size=4)


def written(body: bytes) -> bytes:
    return HEAD + b"content-LENGTH:  %d \r\n\r\n" % len(body) + body


def read(pieces: Sequence[bytes]) -> list[bytes]:
    reader, bodies = RequestReader(), []
    for piece in pieces:
        reader.feed(piece)
        while (body := reader.next_body()) is not None:
            bodies.append(body)
    return bodies


@given(bodies=BODIES, data=st.data())
def test_requests_are_read_however_they_are_cut(bodies: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(map(written, bodies))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    pieces = [whole[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert read(pieces) == bodies


def test_a_request_without_a_length_has_no_body() -> None:
    assert read([HEAD + b"\r\n", written(b"next")]) == [b"", b"next"]


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", "411 Length Required"),
        (HEAD + b"Content-Length: -1\r\n\r\n", "400 Bad Request"),
        (HEAD + b"X: " + b"x" * 70_000, "431 Request Header Fields Too Large"),
        (HEAD + b"X: " + b"x" * 70_000 + b"\r\n\r\n", "431 Request Header Fields Too Large"),
    ],
)
def test_what_it_does_not_read_is_refused(head: bytes, status: str) -> None:
    with pytest.raises(Refused, match=status):
        read([head])


async def test_it_answers_with_what_it_was_asked_on_connections_that_are_kept() -> None:
    async with web_flow() as url, aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
        for body in (b"first", b"", b"x" * 200_000):
            async with session.post(url, data=body) as response:
                assert (response.status, await response.read()) == (200, body)
                assert response.headers["x-ms-workflow-run-id"] == "bench"


async def test_each_answer_comes_after_the_delay_and_none_waits_for_another() -> None:
    loop = asyncio.get_running_loop()
    async with web_flow(0.05) as url, aiohttp.ClientSession() as session:

        async def asked(number: int) -> float:
            began = loop.time()
            async with session.post(url, data=b"%d" % number) as response:
                assert await response.read() == b"%d" % number
            return loop.time() - began

        began = loop.time()
        assert min(await asyncio.gather(*map(asked, range(40)))) >= 0.045
        assert loop.time() - began < 40 * 0.05


async def test_a_client_that_is_refused_is_told_and_left() -> None:
    async with web_flow() as url:
        port = int(url.rpartition(":")[2].partition("/")[0])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 411 Length Required\r\n")
        writer.close()
        await writer.wait_closed()
