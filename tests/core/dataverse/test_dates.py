from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.dataverse.dates import read_date, read_instant, write_date, write_iso

INSTANTS = st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1)).map(  # noqa: DTZ001 - hypothesis wants them bare
    lambda instant: instant.replace(tzinfo=UTC, microsecond=instant.microsecond // 1000 * 1000)
)


def test_the_offset_is_added_to_reach_utc() -> None:
    # The vendor's webhook sample: the row changed at 00:04:07 UTC, the operation is written 07:04:08 with -0700.
    assert read_date("/Date(1506409448000-0700)/") == datetime(2017, 9, 26, 0, 4, 8, tzinfo=UTC)
    assert read_date("/Date(1506384247000)/") == datetime(2017, 9, 26, 0, 4, 7, tzinfo=UTC)


def test_an_offset_east_of_utc_is_added_too() -> None:
    assert read_date("/Date(0+0530)/") == datetime(1970, 1, 1, 5, 30, tzinfo=UTC)


@given(INSTANTS)
def test_a_written_date_is_read_back(instant: datetime) -> None:
    assert read_date(write_date(instant)) == instant
    assert read_instant(write_iso(instant)) == instant


@pytest.mark.parametrize("text", ["", "Date(0)", "/Date()/", "/Date(1.5)/", "/Date(0)/ ", "/Date(0+07)/", "2024-01-01"])
def test_other_text_is_no_date(text: str) -> None:
    assert read_date(text) is None


def test_an_instant_outside_the_calendar_is_no_date() -> None:
    assert read_date("/Date(999999999999999)/") is None
    assert read_date("/Date(-62135596800000-0100)/") is None  # the first hour of year 1, less one


def test_an_iso_date_without_offset_is_utc() -> None:
    assert read_instant("2024-12-10T06:43:34") == datetime(2024, 12, 10, 6, 43, 34, tzinfo=UTC)
    assert read_instant("2024-12-10T06:43:34.000Z") == datetime(2024, 12, 10, 6, 43, 34, tzinfo=UTC)
    assert read_instant("2024-12-10T06:43:34+02:00") == datetime(2024, 12, 10, 4, 43, 34, tzinfo=UTC)
    assert read_instant("yesterday") is None


def test_iso_is_written_with_milliseconds_only_where_there_are_any() -> None:
    noon = datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert write_iso(noon) == "2026-01-31T12:00:00Z"
    assert write_iso(noon + timedelta(milliseconds=7)) == "2026-01-31T12:00:00.007Z"
