"""The namespace through the official JavaScript SDK. The scenarios are in js/, each a test here."""

import asyncio
import shutil
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from azure.servicebus import ServiceBusMessage

from .channel import Links
from .conftest import Namespace
from .javascript import Driver, install, request, written_scenarios

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(300),  # the first one installs the SDK
    pytest.mark.skipif(shutil.which("node") is None, reason="node, which runs the JavaScript SDK, is not installed"),
]


@pytest.fixture(scope="module")
def sdk() -> None:
    install()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def driver(sdk: None, namespace: Namespace) -> AsyncIterator[Driver]:
    driver = await Driver.start(connection_string=namespace.connection_string, prefix=namespace.prefix)
    yield driver
    await driver.end()


async def test_every_scenario_in_javascript_is_a_test(driver: Driver) -> None:
    assert sorted(driver.scenarios) == sorted(written_scenarios())


@pytest.mark.parametrize("sentence", written_scenarios())
async def test_in_javascript(driver: Driver, sentence: str) -> None:
    failure = await driver.play(sentence)
    assert failure is None, failure


async def test_a_caller_in_javascript_is_answered_by_a_worker_in_python(
    sdk: None, namespace: Namespace, links: Links
) -> None:
    replies = links.name("javascript-replies")
    asking = asyncio.create_task(
        request(
            namespace.connection_string,
            *("--queue", links.name("javascript-requests"), "--reply-queue", replies),
            *("--body", '{"n": 1}', "--flow", "credit-check", "--timeout", "20"),
        )
    )
    requests, answers = await asyncio.gather(links.channel("javascript-requests"), links.sender("javascript-replies"))
    (asked,) = await requests.receiver.receive_messages(max_message_count=1, max_wait_time=20)
    assert b"".join(asked.body) == b'{"n": 1}'
    assert (asked.reply_to, asked.content_type) == (replies, "application/json")
    assert asked.time_to_live is not None
    assert asked.time_to_live.total_seconds() == 80
    assert asked.application_properties == {b"flow": b"credit-check", b"timeout-s": 20}
    for correlation_id, body in [("another's", "not this one"), (asked.message_id, '{"score":7}')]:
        await answers.send_messages(
            ServiceBusMessage(
                body,
                session_id=asked.reply_to_session_id,
                correlation_id=correlation_id,
                content_type="application/json",
                application_properties={"outcome": "answered", "attempts": 1},
            )
        )
    await requests.receiver.complete_message(asked)

    status, said = await asking
    assert status == 0
    reply = said["reply"]
    assert said["requestId"] == reply["correlationId"] == asked.message_id
    assert (reply["outcome"], reply["body"]) == ("answered", '{"score":7}')
    assert reply["properties"] == {"outcome": "answered", "attempts": 1}


async def test_a_caller_in_javascript_whom_nobody_answers_says_so(
    sdk: None, namespace: Namespace, links: Links
) -> None:
    queues = ("--queue", links.name("javascript-requests"), "--reply-queue", links.name("javascript-replies"))
    status, said = await request(namespace.connection_string, *queues, "--timeout", "1")
    assert (status, said["reply"]) == (1, None)
    requests = await links.channel("javascript-requests")
    await requests.receiver.complete_message(await requests.receive(said["requestId"]))
