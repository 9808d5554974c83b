"""A caller written with the official JavaScript SDK, answered by the worker."""

import asyncio
import shutil

import pytest
from contract import javascript
from support.house import House

from worker.emulator.standins import Answer


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed, so there is no JavaScript caller")
@pytest.mark.timeout(240)  # the first run installs the SDK
async def test_a_javascript_caller_gets_the_flows_answer(house: House) -> None:
    await asyncio.to_thread(javascript.install)
    house.flow.script("flow", Answer(body=b'{"limit":5000}'))
    async with house.worker():
        status, told = await javascript.request(
            house.broker.connection_string,
            *("--queue", "flow-requests", "--reply-queue", "flow-replies"),
            *("--body", '{"account":42}', "--content-type", "application/json", "--timeout", "20"),
        )
    assert status == 0
    assert told["reply"]["outcome"] == "answered"
    assert told["reply"]["body"] == '{"limit":5000}'
    assert told["reply"]["correlationId"] == told["requestId"]
    (call,) = house.flow.calls
    assert call.body == b'{"account":42}'
