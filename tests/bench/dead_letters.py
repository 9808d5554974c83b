"""`flowbridge dead-letters` on a queue with many: list, replay of a part, replay of the rest, purge.

The broker is a process, and so is each command; what is replayed goes to a queue that nobody reads. Of --count dead
letters every tenth is for another flow than the others: the replay by flow has to pass the rest. Linux only.

  s, CPU s   of the command from start to end, imports included
"""

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import uvloop
from azure.servicebus.aio import ServiceBusClient

sys.path.insert(0, str(Path(__file__).parents[1]))
from bench import rig
from support.burying import bury

FLOW: Final = {"url": "http://127.0.0.1:9/", "auth": "none"}
SETTINGS: Final = {"FLOWBRIDGE_FLOWS": json.dumps([{"name": "credit", **FLOW}, {"name": "billing", **FLOW}])}
HEAD: Final = ("command", "s", "CPU s", "letters/s", "what it said")


async def row(environment: dict[str, str], count: int, *arguments: str) -> tuple[str, ...]:
    """The command has to end well."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "worker", "dead-letters", *arguments), env=environment, stdout=subprocess.PIPE
    )
    out, _ = await process.communicate()
    took_s, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if process.returncode:
        raise SystemExit(out.decode())
    said = out.decode().splitlines()
    return " ".join(arguments), f"{took_s:.1f}", f"{cpu_s:.1f}", f"{count / took_s:,.0f}", said[-1][:60]


async def main(options: argparse.Namespace) -> None:
    cores = rig.Cores.split()
    rig.pin(cores.measured)
    rig.say(cores.told(measured="the commands"))
    with tempfile.TemporaryDirectory() as directory:
        os.chdir(directory)
        async with rig.broker("flow-requests", "dying", core=cores.broker) as broker:
            text = broker.connection_string
            environment = {**os.environ, "FLOWBRIDGE_SERVICEBUS__CONNECTION_STRING": text, **SETTINGS}
            async with ServiceBusClient.from_connection_string(text) as client:
                body = b"x" * options.bytes
                flows = ["billing" if number % 10 == 9 else "credit" for number in range(options.count)]
                letters = [{"body": body, "application_properties": {"flow": flow}} for flow in flows]
                await bury(client, "dying", *letters, receivers=8)
            count, of = options.count, ("--queue", "dying")
            rows = [
                await row(environment, count, "list", *of),
                await row(environment, count // 10, "replay", *of, "--flow", "billing"),
                await row(environment, count - count // 10, "replay", *of),
            ]
            async with ServiceBusClient.from_connection_string(text) as client:
                await bury(client, "dying", *letters, receivers=8)
            rows.append(await row(environment, count, "replay", *of))
            async with ServiceBusClient.from_connection_string(text) as client:
                await bury(client, "dying", *letters, receivers=8)
            rows.append(await row(environment, count, "purge", *of, "--yes"))
    rig.say_table(HEAD, *rows)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000, metavar="N", help="(default %(default)s)")
    parser.add_argument("--bytes", type=int, default=500, metavar="N", help="of each body (default %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    uvloop.run(main(options()))
