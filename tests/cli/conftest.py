import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import pytest
from support.house import House, open_house
from support.loggers import reset_loggers

from worker.cli.main import main


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    status: int
    out: bytes
    err: str


RunCommand: TypeAlias = Callable[..., Coroutine[Any, Any, Ran]]


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """Of each test: a command configures logging for its process."""
    yield
    reset_loggers()


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the developer's own environment says."""
    for name in [name for name in os.environ if name.startswith(("AZURE_", "IDENTITY_", "MSI_", "FLOWBRIDGE_"))]:
        monkeypatch.delenv(name)


@pytest.fixture
async def house(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    """Everything but a worker, and the environment that leads a command to it."""
    async with open_house() as house:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", house.identity.url)
        monkeypatch.setenv("FLOWBRIDGE_SERVICEBUS__CONNECTION_STRING", house.broker.connection_string)
        yield house


@pytest.fixture
def command(capfdbinary: pytest.CaptureFixture[bytes]) -> RunCommand:
    """A command in a thread of its own, with a loop of its own, while the test's loop serves it."""

    async def run(*arguments: str) -> Ran:
        capfdbinary.readouterr()
        status = await asyncio.to_thread(main, arguments)
        said = capfdbinary.readouterr()
        return Ran(status=status, out=said.out, err=said.err.decode())

    return run
