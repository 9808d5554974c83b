"""A browser for all tests of a module, and a stage for each."""

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from .chromium import PROGRAM, Browser, chromium
from .stage import Stage, staged


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    if shutil.which(PROGRAM) is None and "CI" not in os.environ:
        pytest.skip(f"the page needs {PROGRAM!r} to be looked at with; under CI this would be a failure")
    profile: Path = tmp_path_factory.mktemp("profile")
    async with chromium(profile) as browser:
        yield browser
    shutil.rmtree(profile, ignore_errors=True)


@pytest_asyncio.fixture(loop_scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with staged() as stage:
        yield stage
