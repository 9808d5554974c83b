"""The chart's tests need tools that nobody has by chance."""

import os
from pathlib import Path
from typing import Final

import pytest
from chart import tools

HERE: Final = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if tools.missing() and not os.environ.get("CI"):
        for item in items:
            if item.path.parent == HERE:
                item.add_marker(pytest.mark.skip(reason=_words()))


@pytest.fixture(scope="session", autouse=True)
def _tools() -> None:
    assert not tools.missing(), _words()


def _words() -> str:
    return f"{', '.join(tools.missing())} missing: `{tools.FETCH}` fetches all that the chart's tests run"
