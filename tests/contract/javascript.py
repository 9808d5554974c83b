"""The official JavaScript SDK: its installation, and the processes that use it."""

import asyncio
import fcntl
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Self

HERE: Final = Path(__file__).parent / "js"
_SCENARIO: Final = re.compile(r'^scenario\("([^"]+)"', re.MULTILINE)


def written_scenarios() -> list[str]:
    """Their sentences, as they stand in the files: pytest wants the names before anything is installed."""
    return [sentence for file in sorted(HERE.glob("*.mjs")) for sentence in _SCENARIO.findall(file.read_text("utf-8"))]


def install() -> None:
    """What package-lock.json names, once: test runs beside each other wait, later ones find it done."""
    lock_file = (HERE / "package-lock.json").read_bytes()
    stamp = HERE / "node_modules" / ".installed"
    folder = os.open(HERE, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == sha256(lock_file).hexdigest():
            return
        npm = shutil.which("npm") or "npm"
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=240, check=False)
        if done.returncode:
            raise RuntimeError(f"npm ci failed in {HERE}:\n{done.stdout}{done.stderr}")
        stamp.write_text(sha256(lock_file).hexdigest())
    finally:
        os.close(folder)


class Driver:
    """A node process that plays scenarios, one after the other."""

    def __init__(self, process: asyncio.subprocess.Process, scenarios: list[str]) -> None:
        self._process = process
        self.scenarios = scenarios

    @classmethod
    async def start(cls, *, connection_string: str, prefix: str, environment: Mapping[str, str] | None = None) -> Self:
        process = await asyncio.create_subprocess_exec(
            "node",
            "driver.mjs",
            cwd=HERE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={
                **os.environ,
                "CONTRACT_CONNECTION_STRING": connection_string,
                "CONTRACT_PREFIX": prefix,
                **(environment or {}),
            },
        )
        started = cls(process, [])
        started.scenarios = (await started._hear())["scenarios"]
        return started

    async def play(self, sentence: str) -> str | None:
        """What went wrong."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{sentence}\n".encode())
        await self._process.stdin.drain()
        said = await self._hear()
        assert said["sentence"] == sentence
        error: str | None = said["error"]
        return error

    async def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("node ended; stderr says why")
        said: dict[str, Any] = json.loads(line)
        return said

    async def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()


async def request(connection_string: str, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit status and answer of request.mjs."""
    process = await asyncio.create_subprocess_exec(
        "node",
        "request.mjs",
        *arguments,
        cwd=HERE,
        stdout=subprocess.PIPE,
        env={**os.environ, "SERVICEBUS_CONNECTION_STRING": connection_string},
    )
    said, _ = await process.communicate()
    answer: dict[str, Any] = json.loads(said)
    return process.returncode or 0, answer
