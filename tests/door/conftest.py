"""Doors that live as long as the tests of one module: opening one takes longer than most of what is asked there."""

import os
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from support.house import House, open_house

from worker.emulator.standins import Echo

from .opened import FLOWS, SLOW_S, Door, open_door


@pytest.fixture(scope="module")
def plain_environment() -> Iterator[pytest.MonkeyPatch]:
    """Without what would lead settings or the SDK elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("AZURE_", "IDENTITY_", "MSI_", "FLOWBRIDGE_"))]:
            patch.delenv(name)
        yield patch


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lived_in(plain_environment: pytest.MonkeyPatch) -> AsyncIterator[House]:
    """A house with a worker, whose flows answer with what they were asked."""
    async with open_house() as house:
        plain_environment.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", house.identity.url)
        for flow in FLOWS:
            house.flow.script(flow, Echo(after_s=SLOW_S if flow == "slow" else 0.0))
        async with house.worker(*({"name": flow} for flow in FLOWS)):
            yield house


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def door(lived_in: House) -> AsyncIterator[Door]:
    async with open_door(lived_in) as door:
        yield door


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def anonymous_door(lived_in: House) -> AsyncIterator[Door]:
    """Wants no tokens."""
    async with open_door(lived_in, replica="door-1", tenants=[]) as door:
        yield door
