import asyncio
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest

from worker.emulator.standins import (
    Accept,
    Answer,
    CutOff,
    CutPoint,
    Drip,
    Echo,
    FlowStandIn,
    GatewayAnswer,
    Hang,
    PlatformError,
)
from worker.emulator.standins.flow import PUBLIC_AUDIENCE, RUN_ID
from worker.emulator.standins.tokens import Claims, issue

FOREVER = 2**33


def bearer(audience: str = PUBLIC_AUDIENCE, exp: int = FOREVER) -> dict[str, str]:
    return {"Authorization": f"Bearer {issue(Claims(aud=audience, exp=exp, jti='1'))}"}


@pytest.fixture
async def flow() -> AsyncIterator[FlowStandIn]:
    async with FlowStandIn() as flow:
        yield flow


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as http:
        yield http


async def test_a_script_is_played_in_order_and_its_last_line_stays(
    flow: FlowStandIn, http: aiohttp.ClientSession
) -> None:
    flow.script("x", PlatformError.throttled("3"), Answer(status=201), Echo())
    seen = []
    for number in range(4):
        async with http.post(flow.url_of("x"), data=f"{number}", headers=bearer()) as answer:
            seen.append(
                (answer.status, await answer.text(), answer.headers.get("Retry-After"), RUN_ID in answer.headers)
            )
    assert [status for status, *_ in seen] == [429, 201, 200, 200]
    assert seen[0][2:] == ("3", False)
    assert json.loads(seen[0][1])["error"]["code"] == "WorkflowTriggerRunsThrottled"
    assert [(text, has_run) for _, text, _, has_run in seen[2:]] == [("2", True), ("3", True)]
    assert [call.body for call in flow.calls] == [b"0", b"1", b"2", b"3"]


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 401, "DirectApiAuthorizationRequired"),
        ({"Authorization": "Bearer nonsense"}, 401, "Unauthorized"),
        (bearer(exp=1), 401, "Unauthorized"),
        (bearer("https://vault.azure.net"), 403, "MisMatchingOAuthClaims"),
    ],
)
async def test_a_trigger_wants_a_token_for_its_audience(
    flow: FlowStandIn, http: aiohttp.ClientSession, headers: dict[str, str], status: int, code: str
) -> None:
    flow.script("x", Echo())
    async with http.post(flow.url_of("x"), headers=headers) as answer:
        assert answer.status == status
        assert (await answer.json())["error"]["code"] == code
        assert RUN_ID not in answer.headers


async def test_a_signed_url_takes_no_token(flow: FlowStandIn, http: aiohttp.ClientSession) -> None:
    flow.script("x", Echo())
    async with http.post(flow.url_of("x", sig="s")) as answer:
        assert answer.status == 200
    async with http.post(flow.url_of("x", sig="s"), headers=bearer()) as answer:
        assert answer.status == 401


async def test_an_unknown_workflow_is_not_found(flow: FlowStandIn, http: aiohttp.ClientSession) -> None:
    async with http.post(flow.url_of("nobody"), headers=bearer()) as answer:
        assert answer.status == 404
        assert (await answer.json())["error"]["code"] == "WorkflowNotFound"


async def test_what_stands_before_the_flow_answers_without_a_run(
    flow: FlowStandIn, http: aiohttp.ClientSession
) -> None:
    flow.script("x", GatewayAnswer(status=503, headers={"Retry-After": "1"}), GatewayAnswer.page(502))
    async with http.post(flow.url_of("x"), headers=bearer()) as answer:
        assert (answer.status, await answer.read(), answer.headers["Retry-After"]) == (503, b"", "1")
        assert RUN_ID not in answer.headers
    async with http.post(flow.url_of("x"), headers=bearer()) as answer:
        assert (answer.status, answer.content_type) == (502, "text/html")
        assert RUN_ID not in answer.headers


async def test_an_accepted_call_answers_at_its_location(flow: FlowStandIn, http: aiohttp.ClientSession) -> None:
    flow.script("x", Accept(polls=2, then=Answer(body=b"late"), retry_after="1"))
    async with http.post(flow.url_of("x"), headers=bearer()) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (202, "1")
        location, run_id = answer.headers["Location"], answer.headers[RUN_ID]
    polled = []
    for _ in range(3):
        async with http.get(location) as answer:
            polled.append((answer.status, await answer.read()))
            assert answer.headers[RUN_ID] == run_id
    assert polled == [(202, b""), (202, b""), (200, b"late")]
    assert len(flow.polls) == 3
    assert len(flow.calls) == 1


@pytest.mark.parametrize("at", CutPoint)
async def test_a_connection_can_be_cut(flow: FlowStandIn, http: aiohttp.ClientSession, at: CutPoint) -> None:
    flow.script("x", CutOff(at=at))
    with pytest.raises(aiohttp.ClientError):
        async with http.post(flow.url_of("x"), headers=bearer()) as answer:
            await answer.read()


async def test_a_body_can_drip(flow: FlowStandIn, http: aiohttp.ClientSession) -> None:
    flow.script("x", Drip(answer=Answer(body=b"abcde"), chunk_bytes=2, every_s=0.001))
    async with http.post(flow.url_of("x"), headers=bearer()) as answer:
        assert await answer.read() == b"abcde"


async def test_a_hanging_call_is_recorded_and_ends_with_the_stand_in(http: aiohttp.ClientSession) -> None:
    async with FlowStandIn() as flow:
        flow.script("x", Hang())
        calling = asyncio.create_task(http.post(flow.url_of("x"), headers=bearer()).__aenter__())
        (call,) = await flow.calls.until(1)
        assert call.workflow == "x"
        assert flow.peak_in_flight("x") == 1
    with pytest.raises(aiohttp.ClientError):
        await calling


async def test_waiting_for_a_call_that_never_comes_ends(flow: FlowStandIn) -> None:
    with pytest.raises(TimeoutError):
        await flow.calls.until(1, within_s=0.01)
