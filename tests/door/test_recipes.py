"""The README's recipes for the door: what .NET writes for the plug-in, replayed; Python and curl as they stand."""

import asyncio
import json
import os
import re
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
import pytest_asyncio
from azure.identity.aio import ManagedIdentityCredential
from support.house import REQUESTS, House, open_house

from worker.doorway import OpenDoor, opened
from worker.emulator.standins import Answer, EntraStandIn
from worker.emulator.standins.identity import IMDS_PATH
from worker.emulator.standins.tokens import OBJECT, TENANT

pytestmark = pytest.mark.asyncio(loop_scope="module")

README: Final = (Path(__file__).parents[2] / "README.md").read_text()
FLOW: Final = "credit-check"
AUDIENCE: Final = "api://APP-ID"  # as the recipes have it
CONTENT_TYPE: Final = "application/json; charset=utf-8"
OWN: Final = '\ufeff{"limit": 1000.50,\r\n\t"name": "Müller"}\n'.encode()  # what a parser would not leave as it is
KEY: Final = "0e000000-0000-4000-8000-000000000001/ac000000-0000-4000-8000-000000000042"
BODY: Final = b'{"account":"ac000000-0000-4000-8000-000000000042"}'

# As HttpClient of the .NET Framework writes them, which plug-ins run on: the client's headers as they were added, then
# the content's, then those of the connection. The body follows once the server has said to go on.
POST: Final = """\
POST /v1/flows/credit-check HTTP/1.1
Authorization: Bearer {token}
Prefer: wait={wait_s}
Idempotency-Key: {key}
Content-Type: application/json; charset=utf-8
Host: 127.0.0.1:{port}
Content-Length: 50
Expect: 100-continue
Connection: Close

"""
GET: Final = """\
GET {location}?wait=5 HTTP/1.1
Authorization: Bearer {token}
Prefer: wait={wait_s}
Idempotency-Key: {key}
Host: 127.0.0.1:{port}
Connection: Close

"""
CONTINUE: Final = "HTTP/1.1 100 Continue\n\n"
# What the door writes, but for ids and the time, which are its own.
ANSWER: Final = """\
HTTP/1.1 200 OK
Flowbridge-Outcome: answered
Flowbridge-Request-Id: (?P<request_id>{id})
Flowbridge-Run-Id: [0-9]+CU00
Flowbridge-Attempts: 1
Content-Type: application/json; charset=utf-8
Content-Length: {length}
{ours}
"""
PENDING: Final = """\
HTTP/1.1 202 Accepted
Location: /v1/requests/(?P<request_id>{id})
Retry-After: 1
Preference-Applied: wait=0
Flowbridge-Request-Id: (?P=request_id)
Content-Type: application/json
Content-Length: {length}
{ours}
"""
REQUEST_ID: Final = r"door-0\.[0-9]+\.[\w-]{22}\.[\w-]{22}"
OURS: Final = """\
Date: [A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT
Server: flowbridge
Connection: close
Cache-Control: no-store
Content-Security-Policy: default-src 'none'; frame-ancestors 'none'
Referrer-Policy: no-referrer
X-Content-Type-Options: nosniff
"""


def recipe(language: str, beginning: str) -> str:
    """The block of the README that begins so."""
    blocks = re.findall(rf"^```{language}\n(.+?)\n```$", README, flags=re.MULTILINE | re.DOTALL)
    (block,) = (each for each in blocks if each.startswith(beginning))
    return str(block)


@dataclass(slots=True, kw_only=True)
class Door:
    house: House
    entra: EntraStandIn
    open: OpenDoor
    http: aiohttp.ClientSession
    called: int = 0  # times, before the test

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.open.port}"

    def script(self, **answer: Any) -> None:
        self.house.flow.script(FLOW, Answer(body=OWN, content_type=CONTENT_TYPE, **answer))

    async def token(self) -> str:
        """As the identity's endpoint gives it."""
        asked = {"api-version": "2018-02-01", "resource": AUDIENCE}
        async with self.http.get(self.entra.url + IMDS_PATH, params=asked, headers={"Metadata": "true"}) as issued:
            return str((await issued.json())["access_token"])

    def bodies(self) -> list[bytes]:
        """That the flow got in the test."""
        return [call.body for call in list(self.house.flow.calls)[self.called :]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened_door(plain_environment: pytest.MonkeyPatch) -> AsyncIterator[Door]:
    async with open_house() as house, EntraStandIn() as entra, aiohttp.ClientSession() as http:
        plain_environment.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", entra.url)
        flow = {"name": FLOW}
        section = {
            "port": 0,
            "replica": "door-0",
            "tenants": [TENANT],
            "secret": "of-all-the-doors-of-these-tests-here",
            "audiences": [AUDIENCE],
            "authority": entra.url,
            "callers": [{"name": "plug-ins", "ids": [OBJECT]}],
        }
        async with house.worker(flow), opened(house.settings(flow, door=section)) as door:
            async with asyncio.timeout(15):
                while not door.readiness.is_ready:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            yield Door(house=house, entra=entra, open=door, http=http)


@pytest.fixture
def door(opened_door: Door) -> Door:
    opened_door.script()
    opened_door.called = len(opened_door.house.flow.calls)
    return opened_door


async def exchange(door: Door, head: str, body: bytes = b"") -> tuple[str, bytes]:
    """The response's head, its lines ended as text is, and body; each on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", door.open.port)
    writer.write(head.replace("\n", "\r\n").encode())
    if body:
        assert await reader.readuntil(b"\r\n\r\n") == CONTINUE.replace("\n", "\r\n").encode()
        writer.write(body)
    answered, _, content = (await reader.read()).partition(b"\r\n\r\n")  # until the door closes, as it was asked to
    writer.close()
    await writer.wait_closed()
    return (answered + b"\r\n\r\n").decode().replace("\r\n", "\n"), content


def matched(head: str, form: str, content: bytes) -> str:
    """The request id in it."""
    found = re.fullmatch(form.format(id=REQUEST_ID, length=len(content), ours=OURS), head)
    assert found, head
    return found["request_id"]


async def test_the_plug_in_sets_the_headers_that_are_replayed_here_in_this_order() -> None:
    plug_in = recipe("csharp", "public class CheckCredit : IPlugin")
    named = re.findall(r'DefaultRequestHeaders(?:\.Add\("|\.)([A-Z][\w-]+)(?:", | = )(?:"([^"]+)")?', plug_in)
    assert named == [("Authorization", ""), ("Prefer", "wait=100"), ("Idempotency-Key", ""), ("ConnectionClose", "")]
    assert 'PostAsync(Door + "/v1/flows/credit-check"' in plug_in
    assert 'GetAsync(Door + answer.Headers.Location + "?wait=5"' in plug_in
    assert 'new StringContent("{\\"account\\":\\"" + account.Id + "\\"}", Encoding.UTF8, "application/json")' in plug_in


async def test_the_plug_ins_exchange_byte_for_byte(door: Door) -> None:
    head = POST.format(token=await door.token(), wait_s=100, key=f"{KEY}/1", port=door.open.port)

    answered, content = await exchange(door, head, BODY)

    assert content == OWN
    matched(answered, ANSWER, content)
    assert door.bodies() == [BODY]


async def test_the_plug_ins_exchange_where_the_answer_comes_later(door: Door) -> None:
    door.script(after_s=0.1)
    said = {"token": await door.token(), "wait_s": 0, "key": f"{KEY}/2", "port": door.open.port}

    answered, content = await exchange(door, POST.format(**said), BODY)
    request_id = matched(answered, PENDING, content)
    location = f"/v1/requests/{request_id}"
    assert json.loads(content) == {"requestId": request_id, "answer": location}

    answered, content = await exchange(door, GET.format(**said, location=location))
    assert content == OWN
    assert matched(answered, ANSWER, content) == request_id
    assert door.bodies() == [BODY]


async def test_a_plug_in_that_the_platform_runs_again_has_the_same_answer_of_one_run(door: Door) -> None:
    head = POST.format(token=await door.token(), wait_s=100, key=f"{KEY}/3", port=door.open.port)

    (first, content), (again, same) = await asyncio.gather(exchange(door, head, BODY), exchange(door, head, BODY))

    assert content == same == OWN
    assert matched(first, ANSWER, content) == matched(again, ANSWER, content)
    assert door.bodies() == [BODY]


async def test_the_python_recipe_as_it_stands(door: Door) -> None:
    names: dict[str, Any] = {"aiohttp": aiohttp}
    exec(recipe("python", "# ask.py"), names)

    async with ManagedIdentityCredential() as credential:
        said = (door.http, credential, door.url, FLOW, {"account": 42}, "python-1")
        assert await names["ask"](*said) == OWN
        assert door.bodies() == [b'{"account": 42}']

        door.script(status=409)
        with pytest.raises(RuntimeError, match=r"credit-check: refused \(HTTP 409\)"):
            await names["ask"](*said[:-1], "python-2")


async def test_the_recipe_for_messages_of_ones_own_as_it_stands(door: Door) -> None:
    names: dict[str, Any] = {"aiohttp": aiohttp, "json": json}
    exec(recipe("python", "# own.py"), names)
    queue = f"http://127.0.0.1:{door.house.broker.port}/{REQUESTS}"

    assert await names["ask"](door.http, door.url, await door.token(), queue, "Bearer of-the-bus", BODY) == OWN
    assert door.bodies() == [BODY]


@pytest.mark.skipif(shutil.which("curl") is None and "CI" not in os.environ, reason="there is no curl")
async def test_the_curl_recipe_as_it_stands(door: Door) -> None:
    variables = {"PATH": os.environ["PATH"], "DOOR": door.url, "TOKEN": await door.token()}
    curl = await asyncio.create_subprocess_exec(
        *("bash", "-c", recipe("sh", "# ask the door")),
        env=variables,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    told, failed = await curl.communicate()
    assert (curl.returncode, failed) == (0, b"")
    head, _, content = told.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert content == OWN
    assert door.bodies() == [b'{"account":"42"}']
