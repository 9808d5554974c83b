from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from azure.servicebus import ServiceBusMessageBatch
from hypothesis import given
from hypothesis import strategies as st

from worker.core.delivery import Delivery
from worker.core.redelivery import Copy
from worker.servicebus.outgoing import Outgoing, of_copy, to_message

NOW = datetime(2030, 1, 1, tzinfo=UTC)
ORIGINAL = Delivery(
    lock_token="t",
    sequence_number=1,
    delivery_count=0,
    enqueued_at=0.0,
    enqueued_time_ms=0,
    locked_until=60.0,
    message_id="first",
    correlation_id="c",
    session_id=None,
    reply_to="q",
    reply_to_session_id="s",
    content_type="application/json",
    subject="subject",
    to="to",
    partition_key="p",
    time_to_live_s=90.0,
    body=b"{}",
    properties={},
)


def test_a_copy_keeps_all_of_the_original_but_its_id_its_properties_and_its_time() -> None:
    copy = Copy(original=ORIGINAL, message_id="second", properties={"a": 1}, time_to_live_s=60.0, delay_s=30.0)
    assert of_copy(copy, now=7.0) == Outgoing(
        body=b"{}",
        message_id="second",
        properties={"a": 1},
        content_type="application/json",
        correlation_id="c",
        partition_key="p",
        subject="subject",
        to="to",
        reply_to="q",
        reply_to_session_id="s",
        time_to_live_s=60.0,
        enqueue_at=datetime.fromtimestamp(37.0, UTC),  # enqueued at 0 by both clocks, and copied 7 s later
    )


def test_a_copy_is_kept_back_by_the_brokers_clock_where_this_machines_is_behind() -> None:
    original = replace(ORIGINAL, enqueued_at=100.0, enqueued_time_ms=5_000)
    copy = Copy(original=original, message_id="second", properties={}, time_to_live_s=60.0, delay_s=30.0)
    assert of_copy(copy, now=7.0).enqueue_at == datetime.fromtimestamp(35.0, UTC)


@pytest.mark.parametrize(("asked_s", "sent_s"), [(0.0, 1), (0.2, 1), (29.1, 30), (1e12, 4_294_967)])
def test_a_time_to_live_is_rounded_up_and_never_becomes_the_queues_own(asked_s: float, sent_s: int) -> None:
    message = to_message(Outgoing(body=b"", message_id="m", time_to_live_s=asked_s))
    assert message.header is not None
    assert message.header.time_to_live == sent_s * 1000


any_text = st.text(st.characters(), max_size=200)  # lone surrogates, too
any_value: st.SearchStrategy[Any] = st.one_of(
    any_text,
    st.binary(max_size=20),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.booleans(),
    st.none(),
    st.uuids(),
    st.datetimes(timezones=st.just(UTC)),
)


@given(
    st.builds(
        Outgoing,
        body=st.binary(max_size=20),
        message_id=any_text,
        properties=st.dictionaries(any_text, any_value, max_size=4),
        content_type=any_text,
        correlation_id=any_text,
        session_id=st.none() | any_text,
        partition_key=st.none() | any_text,
        subject=any_text,
        reply_to=any_text,
        reply_to_session_id=any_text,
        time_to_live_s=st.none() | st.floats(-1, 1e18),
        enqueue_at=st.none() | st.datetimes(timezones=st.just(UTC)),
    )
)
def test_anything_can_be_encoded(outgoing: Outgoing) -> None:
    batch = ServiceBusMessageBatch()
    batch.add_message(to_message(outgoing))
    assert batch.size_in_bytes > 0
