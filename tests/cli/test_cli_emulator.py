import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient
from support.house import House

from worker.cli.emulator_file import read_topology
from worker.emulator.broker import CorrelationFilter, SqlFilter, TrueFilter
from worker.settings import SettingsInvalid

from .conftest import RunCommand

ENTITIES = """
[[queues]]
name = "orders"
lock_s = 5
requires_session = true
[[topics]]
name = "events"
[[topics.subscriptions]]
name = "all"
[[topics.subscriptions]]
name = "some"
max_delivery_count = 3
rules = [
  { name = "emea", sql = "region = 'emea'" },
  { name = "credit", correlation = { subject = "credit", properties = { tier = "gold" } } },
]
"""


@asynccontextmanager
async def emulator(*arguments: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """The process and the first line of its stdout."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "worker", "emulator", "--port", "0", *arguments), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        yield process, (await process.stdout.readline()).decode().strip()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_the_first_line_is_a_connection_string_and_sigterm_ends_it_cleanly() -> None:
    async with emulator() as (process, connection_string):
        async with ServiceBusClient.from_connection_string(connection_string) as client:
            async with client.get_queue_sender("flow-requests") as sender:
                await sender.send_messages(ServiceBusMessage(b"x"))
            async with client.get_queue_sender("flow-replies") as sender:
                await sender.send_messages(ServiceBusMessage(b"y", session_id="s"))
            async with client.get_queue_receiver("flow-replies", session_id="s") as receiver:
                (message,) = await receiver.receive_messages(1, max_wait_time=5)
                await receiver.complete_message(message)
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


async def test_a_port_that_is_taken_is_told_with_a_way_out(house: House, command: RunCommand) -> None:
    ran = await command("emulator", "--port", str(house.broker.port))
    assert ran.status == 1
    assert "Choose another --port" in ran.err


def test_entities_are_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "entities.toml"
    file.write_text(ENTITIES)
    topology = read_topology(file)
    (orders,) = topology.queues
    assert (orders.name, orders.lock_s, orders.requires_session, orders.max_delivery_count) == ("orders", 5, True, 10)
    (events,) = topology.topics
    everything, some = events.subscriptions
    assert isinstance(everything.rules[0].filter, TrueFilter)
    assert some.max_delivery_count == 3
    emea, credit = some.rules
    assert isinstance(emea.filter, SqlFilter)
    assert credit.filter == CorrelationFilter(subject="credit", application_properties={"tier": "gold"})


@pytest.mark.parametrize(
    ("text", "key", "what"),
    [
        ("[[queues]]\nlock_s = 5", "queues[0].name", "required"),
        ("[[queues]]\nname = 'a'\nlocks = 5", "queues[0].locks", "did you mean lock_s?"),
        ("[[queues]]\nname = 'a'\nlock_s = 'x'", "queues[0].lock_s", "expected a number"),
        ("[servicebus]\nnamespace = 'x'", "servicebus", "no such key"),
        ("[[queues", "entities.toml", "isn't TOML"),
        ("[[topics]]\nname='t'\n[[topics.subscriptions]]\nname='s'\nrules=[{sql='region >'}]", "entities.toml", "rule"),
    ],
)
def test_a_wrong_file_of_entities_is_told_by_key(tmp_path: Path, text: str, key: str, what: str) -> None:
    file = tmp_path / "entities.toml"
    file.write_text(text)
    with pytest.raises(SettingsInvalid) as caught:
        read_topology(file)
    (problem,) = caught.value.problems
    assert problem.key.endswith(key)
    assert what in f"{problem.what}. {problem.fix}"
