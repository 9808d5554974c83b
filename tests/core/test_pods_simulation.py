"""Pods in virtual time, as tests/bench/pods.py tells of them, beside queueing theory."""

from statistics import fmean
from xml.etree import ElementTree as ET

import pytest
from bench.pods import DAY_S, LOADS, PODS, SLOW_S, Fixed, Scaled, day, drawn, fixed, recommended, scaled
from bench.queueing import (
    Autoscaler,
    Cluster,
    PodShape,
    ScalingSpec,
    always,
    erlang_c,
    exponential,
    wait_of_core_s,
    wait_of_servers_s,
)

SLOW = PodShape(slots=20, cpu_s=0.0, timeout_s=110.0)


def test_waits_for_a_core_are_those_of_one_server_with_a_constant_time() -> None:
    tally = fixed(1, PodShape(slots=1000, cpu_s=0.01), always(0.0), 50.0, requests=20_000)
    assert fmean(tally.waits_s) == pytest.approx(wait_of_core_s(0.5, served_s=0.01), rel=0.05)


def test_waits_for_slots_are_those_of_as_many_servers() -> None:
    tally = fixed(2, PodShape(slots=5, cpu_s=0.0), exponential(1.0), 8.0, requests=20_000, warm_s=50.0)
    waited = [wait_s for wait_s in tally.waits_s if wait_s > 0]
    assert len(waited) / len(tally.waits_s) == pytest.approx(erlang_c(10, 8.0), rel=0.1)
    assert fmean(tally.waits_s) == pytest.approx(wait_of_servers_s(10, 8.0, served_s=1.0), rel=0.15)


def test_one_server_waits_as_long_as_it_is_busy() -> None:
    assert erlang_c(1, 0.7) == pytest.approx(0.7)
    assert erlang_c(2, 1.0) == pytest.approx(1 / 3)
    assert wait_of_servers_s(1, 0.5, served_s=2.0, variation=0.0) == pytest.approx(wait_of_core_s(0.5, served_s=2.0))


def test_more_than_a_pod_can_do_is_done_at_the_rate_that_it_can() -> None:
    shape = PodShape(slots=10, cpu_s=0.001, network_s=0.099)
    tally = fixed(1, shape, always(0.9), 20.0, requests=2000, warm_s=10.0)
    assert tally.ended / 100.0 == pytest.approx(shape.per_s(0.9), rel=0.02)


def test_callers_who_would_wait_too_long_are_expired_or_cut_and_everyone_ends_in_time() -> None:
    shape = PodShape(slots=1, cpu_s=0.0, timeout_s=5.0, least_flow_s=0.5)
    tally = fixed(1, shape, always(1.0), 3.0, requests=300)
    assert tally.expired > 100
    assert tally.cut > 0
    assert max(tally.spans_s) <= 5.0 + 1.0


def pods_under(spec: ScalingSpec, *per_s: float, each_s: float) -> list[int]:
    """How many there are at the end of each rate; a pod of SLOW takes two a second."""
    cluster = Cluster(SLOW, always(SLOW_S), lambda now: per_s[int(now // each_s)], peak_per_s=max(per_s))
    Autoscaler(cluster, spec)
    pods = []
    for place in range(len(per_s)):
        cluster.run((place + 1) * each_s - 1)
        pods.append(len(cluster.pods))
    return pods


def test_pods_follow_the_rate_up_and_down_to_none() -> None:
    spec = ScalingSpec(message_count=16, least_pods=0)
    before, peak, after = pods_under(spec, 1.0, 10.0, 0.0, each_s=900.0)
    assert before == 1
    assert 6 <= peak <= 10, "a hundred in the queue, give or take a few, and sixteen for each pod"
    assert after == 0


def test_pods_go_only_when_fewer_were_wanted_for_minutes() -> None:
    spec = ScalingSpec(message_count=16)
    assert pods_under(spec, 10.0, 0.0, each_s=250.0)[1] >= 5


def test_a_burst_gets_twice_the_pods_or_four_more_at_once_and_never_more_than_allowed() -> None:
    spec = ScalingSpec(message_count=1, most_pods=12)
    cluster = Cluster(SLOW, always(SLOW_S), lambda _now: 50.0, peak_per_s=50.0)
    Autoscaler(cluster, spec)
    pods = []
    cluster.every(1.0, lambda: pods.append(len(cluster.pods)))
    cluster.run(200.0)
    assert sorted(set(pods)) == [1, 5, 10, 12]


def test_the_day_begins_and_ends_low() -> None:
    assert [day(now) for now in (0.0, DAY_S / 2, DAY_S)] == pytest.approx([20.0, 200.0, 20.0])


def test_what_is_recommended_keeps_up_with_a_steady_rate_without_a_queue() -> None:
    shape = PodShape(slots=20, cpu_s=0.001, network_s=0.04, timeout_s=110.0)
    spec = recommended(shape, peak_per_s=20.0)
    seen = scaled(shape, lambda _now: 20.0, spec, lasts_s=900.0)
    assert seen.long_wait_at < 300.0
    assert seen.tally.expired == 0
    assert seen.pods[-1] in range(10, spec.most_pods + 1), "ten would be busy all the time"


def test_the_picture_is_small_and_well_formed() -> None:
    cells = [
        Fixed(flow_s=1.0, pods=pods, load=load, offered_per_s=1, done_per_s=pods, wait_p50_s=0, wait_p99_s=0)
        for pods in PODS
        for load in LOADS
    ]
    picture = drawn(cells, Scaled(spec=ScalingSpec(message_count=1), waiting=[0, 9, 0] * 100, pods=[1, 2, 3] * 100))
    assert ET.fromstring(picture).tag.endswith("svg")
    assert len(picture.encode()) < 15_000
