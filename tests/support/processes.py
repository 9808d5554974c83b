"""The worker as a process of its own, which can be killed."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from support.house import House

from worker.emulator.standins import Recorded


@asynccontextmanager
async def worker_process(
    house: House,
    log: Recorded[dict[str, object]] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    **flow: object,
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`flowbridge run` for one flow, killed at the end unless it has gone by itself; its log goes to `log`."""
    variables = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AZURE_", "FLOWBRIDGE_"))},
        "AZURE_POD_IDENTITY_AUTHORITY_HOST": house.identity.url,
        "FLOWBRIDGE_SERVICEBUS__CONNECTION_STRING": house.broker.connection_string,
        "FLOWBRIDGE_SERVICEBUS__LOCK_S": "5",
        "FLOWBRIDGE_FLOWS": json.dumps([{"url": house.flow.url_of("flow"), **flow}]),
        "FLOWBRIDGE_HTTP__PORT": "0",
        **(environment or {}),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "worker", "run"),
        env=variables,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        limit=1 << 20,
    )
    reading = asyncio.create_task(_read_log(process, log))
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await reading


async def _read_log(process: asyncio.subprocess.Process, log: Recorded[dict[str, object]] | None) -> None:
    assert process.stderr is not None
    async for line in process.stderr:
        if log is not None:
            try:
                log.add(json.loads(line))
            except ValueError as broken:
                broken.add_note(f"in the log: {line!r}")
                raise
