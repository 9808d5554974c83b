from collections.abc import AsyncIterator

import pytest
from support.collector import Collector, forget_variables, told_to_the_sdk


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_variables(monkeypatch)


@pytest.fixture
async def collector(no_variables: None) -> AsyncIterator[Collector]:
    async with told_to_the_sdk(sends_every_ms=10) as collector:
        yield collector
