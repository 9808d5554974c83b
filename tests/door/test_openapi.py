"""The door against its own description: what schemathesis makes up from that is answered as it says."""

import asyncio
from collections import Counter
from typing import Any, Final

import pytest
import requests
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as examples
from schemathesis import Case, GenerationMode
from schemathesis.openapi import from_dict
from schemathesis.specs.openapi.schemas import OpenApiSchema

from .opened import Door

pytestmark = pytest.mark.asyncio(loop_scope="module")

RIGHT: Final = GenerationMode.POSITIVE
WRONG: Final = GenerationMode.NEGATIVE
PATHS: Final = (
    "/v1/flows/flow",
    "/v1/requests/id",
    "/v1/sessions",
    "/v1/sessions/session/replies/id",
    "/openapi.json",
    "/livez",
    "/readyz",
)
SOME: Final = examples(
    max_examples=20,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


async def described(door: Door) -> OpenApiSchema:
    schema = from_dict((await door.call("GET", "/openapi.json", oid=None)).document)
    schema.config.update(base_url=door.url)
    schema.config.generation.update(allow_extra_parameters=False)  # they are ignored: gateways add some
    return schema


async def tried(door: Door, operation: str, mode: GenerationMode, **path: str) -> Counter[int]:
    """How often there was which status, each with all that schemathesis checks."""
    strategy = (await described(door)).find_operation_by_id(operation).as_strategy(mode, path_parameters=path or None)
    statuses: Counter[int] = Counter()
    authorization = {"Authorization": f"Bearer {door.token()}"}

    @SOME
    @given(case=strategy)
    def each(case: Case[Any]) -> None:
        response = case.call(session=session, headers=authorization)
        statuses[response.status_code] += 1
        case.validate_response(response)

    with requests.Session() as session:
        await asyncio.to_thread(each)
    return statuses


async def test_the_description_is_sound(door: Door) -> None:
    schema = await described(door)
    schema.validate()
    assert len(list(schema.get_all_operations())) == len(PATHS)
    for path in PATHS:
        assert (await door.call("PUT", path)).status == 405, path


@pytest.mark.parametrize("mode", [RIGHT, WRONG])
@pytest.mark.parametrize("operation", ["askFlow", "fetchAnswer", "fetchReply"])
async def test_what_is_not_there_is_told_as_described(door: Door, operation: str, mode: GenerationMode) -> None:
    assert set(await tried(door, operation, mode)) <= {400, 401, 404}


@pytest.mark.parametrize("mode", [RIGHT, WRONG])
async def test_whatever_a_flow_is_asked_is_answered_as_described(door: Door, mode: GenerationMode) -> None:
    statuses = await tried(door, "askFlow", mode, flow="flow")
    assert 200 in statuses
    assert set(statuses) <= {200, 400, 401}


@pytest.mark.parametrize("mode", [RIGHT, WRONG])
async def test_an_answer_is_fetched_as_described(door: Door, mode: GenerationMode) -> None:
    asked = await door.ask()
    statuses = await tried(door, "fetchAnswer", mode, id=asked.headers["Flowbridge-Request-Id"])
    assert set(statuses) <= {200, 400, 401}


@pytest.mark.parametrize("mode", [RIGHT, WRONG])
async def test_a_session_is_opened_as_described(door: Door, mode: GenerationMode) -> None:
    assert set(await tried(door, "openSession", mode)) <= {201, 401}


@pytest.mark.parametrize("operation", ["describe", "live", "ready"])
async def test_what_anybody_may_read_is_as_described(door: Door, operation: str) -> None:
    assert set(await tried(door, operation, RIGHT)) == {200}
