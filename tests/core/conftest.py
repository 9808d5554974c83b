from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from worker.core.delivery import Delivery

Deliver: TypeAlias = Callable[..., Delivery]


def delivery_of(**given: Any) -> Delivery:
    """A delivery with nothing but a body, and whatever a test gives it."""
    blank: dict[str, Any] = dict.fromkeys(
        (
            "correlation_id",
            "session_id",
            "reply_to",
            "reply_to_session_id",
            "content_type",
            "subject",
            "to",
            "partition_key",
            "time_to_live_s",
        )
    )
    return Delivery(
        **{
            "lock_token": "lock",
            "sequence_number": 17,
            "delivery_count": 0,
            "enqueued_at": 100.0,
            "enqueued_time_ms": 1_700_000_000_000,
            "locked_until": 160.0,
            "message_id": "m-1",
            "body": b"hello",
            **blank,
            **given,
        }
    )


@pytest.fixture
def deliver() -> Deliver:
    return delivery_of
