from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict
from support.loggers import reset_loggers


@pytest.fixture
def said() -> Iterator[list[EventDict]]:
    """The events of this test, as they are before they become lines."""
    reset_loggers()
    with capture_logs() as events:
        yield events
    reset_loggers()
