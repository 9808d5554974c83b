import asyncio
import signal
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from azure.servicebus import ServiceBusMessage, TransportType
from azure.servicebus.aio import ServiceBusClient
from flow.certificates import ThrowAwayAuthority
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


def some_files(folder: Path) -> dict[str, str]:
    """A server's certificate with its key, its authority's certificate, text, and one that isn't there."""
    ThrowAwayAuthority(folder).server_context("127.0.0.1")
    (folder / "text.pem").write_text("no certificate\n")
    return {name: str(folder / f"{name}.pem") for name in ("server", "authority", "text", "missing")}


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


@pytest.mark.parametrize("kind", [TransportType.Amqp, TransportType.AmqpOverWebsocket])
async def test_with_a_certificate_it_speaks_tls(tmp_path: Path, kind: TransportType) -> None:
    authority = ThrowAwayAuthority(tmp_path)
    authority.server_context("127.0.0.1")
    files = ("--tls-cert", str(tmp_path / "server.pem"), "--tls-key", str(tmp_path / "server.pem"))
    async with emulator(*files) as (process, connection_string):
        assert "UseDevelopmentEmulator" not in connection_string
        trust = ssl.create_default_context(cafile=authority.pem)
        endpoint = connection_string.removeprefix("Endpoint=").partition(";")[0]
        async with (
            ServiceBusClient.from_connection_string(
                connection_string, transport_type=kind, custom_endpoint_address=endpoint, ssl_context=trust
            ) as client,
            client.get_queue_sender("flow-requests") as sender,
        ):
            await sender.send_messages(ServiceBusMessage(b"x"))
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ("--tls-cert {server}", 2, "expected both --tls-cert and --tls-key, got one"),
        ("--tls-key {server}", 2, "expected both --tls-cert and --tls-key, got one"),
        ("--tls-cert {missing} --tls-key {server}", 1, "Can't read {missing}: No such file"),
        ("--tls-cert {server} --tls-key {missing}", 1, "Can't read {missing}: No such file"),
        ("--tls-cert {text} --tls-key {server}", 1, "{text} holds no certificate"),
        ("--tls-cert {server} --tls-key {text}", 1, "{text} holds no key"),
        ("--tls-cert {authority} --tls-key {server}", 1, "The key in {server} is not that of the certificate in"),
    ],
)
async def test_files_that_are_no_certificate_with_its_key_are_told(
    tmp_path: Path, command: RunCommand, arguments: str, status: int, said: str
) -> None:
    names = some_files(tmp_path)
    ran = await command("emulator", "--port", "0", *arguments.format(**names).split())
    assert ran.status == status
    assert said.format(**names) in ran.err
    assert ran.err.count("\n") == 1


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
