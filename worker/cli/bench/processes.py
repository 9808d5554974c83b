"""Programs beside this one, each in a process of its own that ends with the block it was started for."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final
from urllib.parse import urlsplit

from worker.cli.bench.cores import pinned
from worker.cli.failure import CommandFailed

_OURS: Final = ("FLOWBRIDGE_", "AZURE_")


@asynccontextmanager
async def program(
    *command: str,
    core: int | None,
    environment: Mapping[str, str] | None = None,
    stdout: int = subprocess.DEVNULL,
    stderr: int | IO[bytes] = subprocess.DEVNULL,
    patience_s: float | None = None,
) -> AsyncIterator[asyncio.subprocess.Process]:
    """With no settings but `environment`. At the end it is told to stop, and killed when that takes `patience_s`.

    Ctrl-C at the terminal is not for it: who started it ends it, in its turn.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    with pinned(core):
        process = await asyncio.create_subprocess_exec(
            *command,
            env={**inherited, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        await _end(process, patience_s)


async def _end(process: asyncio.subprocess.Process, patience_s: float | None) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(patience_s):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerProcess:
    pid: int
    connection_string: str

    @property
    def port(self) -> int:
        return urlsplit(self.connection_string.partition("=")[2].partition(";")[0]).port or 0


@asynccontextmanager
async def broker(*queues: str, core: int | None, config: Path | None = None) -> AsyncIterator[BrokerProcess]:
    """`flowbridge emulator` with queues as its --queue takes them, and those of a file. Raises CommandFailed."""
    options = [text for queue in queues for text in ("--queue", queue)]
    options += [] if config is None else ["--config", str(config)]
    command = (sys.executable, "-m", "worker", "emulator", "--port", "0", *options)
    async with program(*command, core=core, stdout=subprocess.PIPE, patience_s=5.0) as process:
        if process.stdout is None or not (line := (await process.stdout.readline()).decode().strip()):
            raise CommandFailed("The broker did not start. `flowbridge emulator --port 0` says why.")
        yield BrokerProcess(pid=process.pid, connection_string=line)
