import re
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.trace import REPLY_PART, Parent, TraceContext, attempt_part, parent_of

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN_ID = "00f067aa0ba902b7"
SAID = f"00-{TRACE_ID}-{SPAN_ID}-01"

ids = st.integers(min_value=1, max_value=2**128 - 1).map("{:032x}".format)
span_ids = st.integers(min_value=1, max_value=2**64 - 1).map("{:016x}".format)
attempts = st.tuples(st.integers(1, 3), st.sampled_from([0.0, 17.25]) | st.floats(min_value=0.0, max_value=1e9))
contexts = st.builds(
    TraceContext,
    trace_id=ids,
    span_id=span_ids,
    parent=st.none(),
    state=st.none() | st.just("vendor=opaque"),
    is_sampled=st.booleans(),
)


def said(traceparent: str) -> Parent | None:
    return parent_of({"traceparent": traceparent})


def test_a_trace_parent_is_read() -> None:
    assert said(SAID) == Parent(trace_id=TRACE_ID, span_id=SPAN_ID, is_sampled=True)


@pytest.mark.parametrize(
    ("flags", "is_sampled"), [("00", False), ("01", True), ("02", False), ("03", True), ("fe", False), ("ff", True)]
)
def test_only_the_lowest_flag_says_sampled(flags: str, is_sampled: bool) -> None:
    parent = said(f"00-{TRACE_ID}-{SPAN_ID}-{flags}")
    assert parent is not None
    assert parent.is_sampled is is_sampled


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "no trace parent",
        f"ff-{TRACE_ID}-{SPAN_ID}-01",  # the version that never will be
        f"00-{TRACE_ID}-{SPAN_ID}-01-more",  # version 00 has four parts
        f"00-{'0' * 32}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"00-{TRACE_ID.upper()}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{SPAN_ID}-1",
        f"00-{TRACE_ID}-{SPAN_ID}",
        f" {SAID}",
        f"{SAID}\n",
        f"00-{TRACE_ID[:-1]}٣-{SPAN_ID}-01",  # a digit, but none of ours
    ],
)
def test_what_is_no_trace_parent_begins_no_trace(wrong: str) -> None:
    assert said(wrong) is None


def test_without_a_trace_parent_there_is_none() -> None:
    assert parent_of({"tracestate": "vendor=opaque"}) is None


def test_a_version_to_come_is_read_as_far_as_it_is_known() -> None:
    for more in ("", "-", "-what-comes-then"):
        assert said(f"cc-{TRACE_ID}-{SPAN_ID}-01{more}") == said(SAID)


@given(context=contexts, attempt=attempts)
def test_what_another_party_is_told_is_a_trace_parent_of_the_same_trace(
    context: TraceContext, attempt: tuple[int, float]
) -> None:
    part = attempt_part(*attempt)
    headers = context.headers(part)
    assert parent_of(headers) == Parent(
        trace_id=context.trace_id, span_id=context.part(part), is_sampled=context.is_sampled
    )
    assert headers.get("tracestate") == context.state


@given(context=contexts, other=contexts, attempts=st.sets(attempts, max_size=8))
def test_each_part_has_an_id_of_its_own_that_stays(
    context: TraceContext, other: TraceContext, attempts: set[tuple[int, float]]
) -> None:
    parts = {REPLY_PART, "receive", "settle", *(attempt_part(*attempt) for attempt in attempts)}
    assert len(parts) == len(attempts) + 3
    found = [context.part(part) for part in parts]
    assert found == [context.part(part) for part in parts]
    assert len({context.span_id, *found}) == len(parts) + 1
    assert all(re.fullmatch("[0-9a-f]{16}", each) for each in found)
    if (other.trace_id, other.span_id) != (context.trace_id, context.span_id):
        assert not {other.part(part) for part in parts} & set(found)


@given(trace=st.dictionaries(st.sampled_from(["traceparent", "tracestate"]), st.text() | st.from_regex(SAID[:3])))
def test_whatever_a_sender_wrote_is_a_parent_or_none(trace: Mapping[str, str]) -> None:
    parent = parent_of(trace)
    assert parent is None or trace["traceparent"][3:35] == parent.trace_id
