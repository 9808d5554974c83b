from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.flow_spec import RetrySpec
from worker.core.retry import LEAST_ATTEMPT_S, next_delay_s, next_poll_s, parse_retry_after

NOW = datetime(2024, 2, 29, 12, 0, tzinfo=UTC)
SPEC = RetrySpec(attempts=4, first_s=0.5, max_s=20.0)

seconds = st.floats(0, 1e6, allow_nan=False)
draws = st.floats(0, 1, exclude_max=True)


@given(attempt=st.integers(1, 3), draw=draws)
def test_the_jitter_is_full_and_capped(attempt: int, draw: float) -> None:
    delay_s = next_delay_s(SPEC, attempt, retry_after_s=None, remaining_s=None, draw=draw)
    assert delay_s == pytest.approx(draw * 0.5 * 2 ** (attempt - 1))


@given(attempt=st.integers(1, 10_000), draw=draws)
def test_no_backoff_is_above_its_limit(attempt: int, draw: float) -> None:
    spec = RetrySpec(attempts=100_000)
    delay_s = next_delay_s(spec, attempt, retry_after_s=None, remaining_s=None, draw=draw)
    assert delay_s is not None
    assert delay_s <= spec.max_s


@given(attempt=st.integers(1, 10), retry_after_s=st.none() | seconds, remaining_s=seconds, draw=draws)
def test_a_retry_leaves_time_for_an_attempt_or_is_not_made(
    attempt: int, retry_after_s: float | None, remaining_s: float, draw: float
) -> None:
    delay_s = next_delay_s(SPEC, attempt, retry_after_s=retry_after_s, remaining_s=remaining_s, draw=draw)
    if delay_s is not None:
        assert attempt < SPEC.attempts
        assert delay_s + LEAST_ATTEMPT_S <= remaining_s
        assert delay_s >= (retry_after_s or 0.0)


def test_without_a_deadline_a_long_retry_after_is_left_to_who_can_wait() -> None:
    assert next_delay_s(SPEC, 1, retry_after_s=20.0, remaining_s=None, draw=0) == 20.0
    assert next_delay_s(SPEC, 1, retry_after_s=21.0, remaining_s=None, draw=0) is None
    assert next_delay_s(SPEC, 1, retry_after_s=21.0, remaining_s=60.0, draw=0) == 21.0


@pytest.mark.parametrize(
    ("header", "expected_s"),
    [
        (None, None),
        ("", None),
        ("0", 0.0),
        ("120", 120.0),
        (" 5 ", 5.0),
        ("1.5", 1.5),
        ("-5", None),
        ("nan", None),
        ("9" * 5000, None),
        ("Thu, 29 Feb 2024 12:00:30 GMT", 30.0),
        ("Thursday, 29-Feb-24 12:00:30 GMT", 30.0),
        ("Thu, 29 Feb 2024 11:00:00 GMT", 0.0),
        ("Thu, 29 Feb 2024 12:00:30 -0000", 30.0),
        ("tomorrow", None),
        ("Thu, 29 Feb 9996 12:00:30 GMT", 999_999_999.0),
        ("Thu, 99 Feb 2024 12:00:30 GMT", None),
        ("Thu, 29 Feb 99999999999 12:00:30 GMT", None),
    ],
)
def test_a_retry_after_is_seconds_or_a_date(header: str | None, expected_s: float | None) -> None:
    assert parse_retry_after(header, utc_now=NOW) == expected_s


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2050, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - hypothesis adds the zone
def test_every_date_is_understood(at: datetime) -> None:
    expected_s = max(0.0, (at.replace(microsecond=0) - NOW).total_seconds())
    assert parse_retry_after(format_datetime(at, usegmt=True), utc_now=NOW) == expected_s


@given(st.text(max_size=50))
def test_no_retry_after_breaks_its_reading(header: str) -> None:
    delay_s = parse_retry_after(header, utc_now=NOW)
    assert delay_s is None or delay_s >= 0


def test_polls_grow_apart_and_the_last_comes_just_before_the_end() -> None:
    assert next_poll_s(0, retry_after_s=None, remaining_s=100.0) == 1.0
    assert next_poll_s(3, retry_after_s=None, remaining_s=100.0) == pytest.approx(3.375)
    assert next_poll_s(99, retry_after_s=None, remaining_s=100.0) == 15.0
    assert next_poll_s(99, retry_after_s=None, remaining_s=2.25) == 2.0
    assert next_poll_s(0, retry_after_s=None, remaining_s=LEAST_ATTEMPT_S) is None
    assert next_poll_s(99, retry_after_s=0.5, remaining_s=100.0) == 0.5
    assert next_poll_s(0, retry_after_s=5.0, remaining_s=5.0) == 4.75, "whatever it asked for"


def test_a_flow_that_says_at_once_for_ever_is_not_asked_in_a_tight_loop() -> None:
    assert next_poll_s(1, retry_after_s=0.0, remaining_s=100.0) == 0.0
    assert next_poll_s(50, retry_after_s=0.0, remaining_s=100.0) == 0.1
