import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.sizing import (
    BUSY,
    BYTES_PER_REQUEST,
    CPU_S_PER_REQUEST,
    Bound,
    FlowLimits,
    flows_per_s,
    memory_bytes,
    message_count,
    most_pods,
    pods_for,
    premium_per_s,
    standard_per_s,
    throughput,
)

seconds = st.floats(0.001, 1000)
rates = st.floats(0.1, 1_000_000)
counts = st.integers(1, 10_000)
limits = st.builds(FlowLimits, concurrency=counts, rate_per_s=st.just(0.0) | rates)
some_flows = st.lists(limits, min_size=1, max_size=5)


@pytest.mark.parametrize(
    ("concurrency", "calls", "flow_s", "per_s", "bound"),
    [
        (200, 1000, 1.0, 200.0, Bound.SLOTS),
        (200, 100, 1.0, 100.0, Bound.FLOWS),
        (200, 1000, 0.1, 1 / CPU_S_PER_REQUEST, Bound.CPU),
    ],
)
def test_a_worker_does_what_the_scarcest_of_slots_calls_and_core_allows(
    concurrency: int, calls: int, flow_s: float, per_s: float, bound: Bound
) -> None:
    most = throughput(concurrency=concurrency, flows=[FlowLimits(concurrency=calls)], flow_s=flow_s)
    assert most.per_s == pytest.approx(per_s)
    assert most.bound is bound


@given(concurrency=counts, flows=st.none() | some_flows, flow_s=seconds, processes=st.integers(1, 64))
def test_never_more_are_in_flight_or_on_a_core_than_there_are_places(
    concurrency: int, flows: list[FlowLimits] | None, flow_s: float, processes: int
) -> None:
    most = throughput(concurrency=concurrency, flows=flows, flow_s=flow_s, processes=processes)
    in_flight, on_core = most.per_s * flow_s, most.per_s * CPU_S_PER_REQUEST
    calls = sum(flow.concurrency for flow in flows) if flows else concurrency
    assert in_flight <= min(concurrency, calls) * (1 + 1e-9)
    assert on_core <= processes * (1 + 1e-9)


@given(concurrency=counts, flows=some_flows, flow_s=seconds, slower=st.floats(1, 100))
def test_a_slower_flow_never_makes_a_worker_faster(
    concurrency: int, flows: list[FlowLimits], flow_s: float, slower: float
) -> None:
    before = throughput(concurrency=concurrency, flows=flows, flow_s=flow_s)
    after = throughput(concurrency=concurrency, flows=flows, flow_s=flow_s * slower)
    assert after.per_s <= before.per_s * (1 + 1e-9)


def test_a_rate_cap_bounds_a_flow_that_is_faster_than_it() -> None:
    flow = FlowLimits(concurrency=100, rate_per_s=5.0)
    assert [flow.per_s(flow_s) for flow_s in (1.0, 100.0)] == [5.0, 1.0]
    assert flow.share(1, of=4) == FlowLimits(concurrency=25, rate_per_s=1.25)


@given(flow=limits, workers=st.integers(1, 100), processes=st.integers(1, 8))
def test_shares_of_a_flow_come_to_no_more_than_the_flow_takes_unless_each_has_but_one_call(
    flow: FlowLimits, workers: int, processes: int
) -> None:
    sharing = workers * processes
    share = flow.share(processes, of=sharing)
    assert share.concurrency >= processes
    assert workers * share.concurrency <= max(flow.concurrency, sharing)
    assert workers * share.rate_per_s == pytest.approx(flow.rate_per_s)


@given(per_s=rates, pod_per_s=rates)
def test_the_pods_for_a_rate_are_just_enough_to_stay_below_the_target(per_s: float, pod_per_s: float) -> None:
    pods = pods_for(per_s, pod_per_s=pod_per_s)
    assert per_s <= pods * BUSY * pod_per_s * (1 + 1e-9)
    assert pods == 1 or per_s > (pods - 1) * BUSY * pod_per_s * (1 - 1e-9)


@given(per_s=st.floats(1, 100_000), slots=st.integers(10, 1000), flow_s=st.floats(0.01, 100))
def test_the_queue_of_a_steady_rate_asks_for_the_pods_of_that_rate(per_s: float, slots: int, flow_s: float) -> None:
    """What is in the queue of a rate, by Little's law, divided as KEDA divides it."""
    pod_per_s = throughput(concurrency=slots, flows=None, flow_s=flow_s).per_s
    in_queue = per_s * (1.0 + flow_s)
    count = message_count(pod_per_s=pod_per_s, flow_s=flow_s, wait_s=1.0)
    needed = per_s / (BUSY * pod_per_s)
    assert needed * (1 - 1e-9) <= in_queue / count <= needed * (count + 1) / count * (1 + 1e-9)


def test_a_message_count_is_what_a_busy_pod_holds_and_what_waits_for_it() -> None:
    assert message_count(pod_per_s=200.0, flow_s=1.0, wait_s=1.0) == 280
    assert message_count(pod_per_s=0.01, flow_s=1.0) == 1


def test_no_more_pods_than_the_flows_keep_busy_or_have_calls_for() -> None:
    flows = [FlowLimits(concurrency=1000)]
    assert most_pods(flows, pod_per_s=200.0, flow_s=1.0) == 8
    assert most_pods([*flows, FlowLimits(concurrency=3)], pod_per_s=200.0, flow_s=1.0) == 3
    assert most_pods([*flows, FlowLimits(concurrency=3)], pod_per_s=200.0, flow_s=1.0, processes=2) == 1
    assert most_pods([FlowLimits(concurrency=1)], pod_per_s=200.0, flow_s=1.0, processes=2) == 1


@given(flows=some_flows, slots=counts, flow_s=seconds)
def test_more_pods_than_the_most_would_find_the_flows_busy(flows: list[FlowLimits], slots: int, flow_s: float) -> None:
    pod_per_s = throughput(concurrency=slots, flows=None, flow_s=flow_s).per_s
    most = most_pods(flows, pod_per_s=pod_per_s, flow_s=flow_s)
    fewest_calls = min(flow.concurrency for flow in flows)
    assert 1 <= most <= fewest_calls
    assert most == fewest_calls or most * pod_per_s >= flows_per_s(flows, flow_s) * (1 - 1e-9)


def test_a_namespace_counts_a_request_four_times_and_a_unit_its_bytes() -> None:
    assert standard_per_s() == 250
    assert premium_per_s(request_bytes=3000, reply_bytes=5000) == 500


def test_memory_is_bounded_by_slots_and_caps() -> None:
    assert memory_bytes(concurrency=10, max_response_bytes=1000, message_bytes=500) == 10 * (BYTES_PER_REQUEST + 1500)
