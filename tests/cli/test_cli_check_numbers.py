import inspect

import pytest
from support.house import load_document

from worker.cli.finding import Finding, Verdict
from worker.cli.preflight.limits import REPLY_WRITERS, limits
from worker.cli.preflight.times import longest_call_s, times
from worker.core.flow_spec import FlowSpec, RetrySpec
from worker.servicebus.replies import ReplyOutbox


def found(**sections: object) -> list[Finding]:
    document = {
        "servicebus": {"namespace": "contoso.servicebus.windows.net"},
        "flows": [{"url": "https://flows.example.com/"}],
        **sections,
    }
    settings = load_document(document)
    return [*limits(settings), *times(settings)]


def hints(**sections: object) -> list[Finding]:
    return [finding for finding in found(**sections) if finding.verdict is Verdict.HINT]


def one(name: str, **sections: object) -> Finding:
    return next(finding for finding in found(**sections) if finding.name == name)


def test_the_defaults_give_no_hint() -> None:
    assert hints() == []


def test_numbers_that_do_not_go_together_are_hinted_at() -> None:
    bus = {"namespace": "contoso.servicebus.windows.net", "max_delivery_count": 2}
    flows = [{"url": "https://flows.example.com/", "timeout_s": 130}]
    assert [finding.name for finding in hints(servicebus=bus, flows=flows)] == [
        "drain",
        "time-out",
        "deliveries",
    ]


def test_what_many_flows_have_in_common_is_one_hint() -> None:
    flows = [{"name": f"f{number}", "url": "https://flows.example.com/", "timeout_s": 130} for number in range(73)]
    drain, timeout = hints(flows=flows)
    for told in (drain.detail, timeout.detail):
        assert ": f0 (130 s), f1 (130 s), f2 (130 s) and 70 more flows; " in told


def test_one_slot_that_is_kept_is_told_in_the_singular() -> None:
    flows = [{"name": name, "url": "https://flows.example.com/"} for name in "abc"]
    assert one("slots", flows=flows, worker={"concurrency": 6}).detail.endswith("; 1 is kept for each of the 3 flows")
    assert one("slots", flows=flows).detail.endswith("; 33 are kept for each of the 3 flows")


@pytest.mark.parametrize(("drain_s", "told"), [(135, []), (136, ["grace_s leaves 14 s after drain_s"])])
def test_too_little_time_to_close_after_the_drain_is_hinted_at(drain_s: float, told: list[str]) -> None:
    found = hints(worker={"drain_s": drain_s, "grace_s": 150})
    assert [finding.detail.partition(",")[0] for finding in found] == told


def test_too_few_slots_to_keep_any_for_each_flow_are_hinted_at() -> None:
    flows = [{"name": name, "url": f"https://flows.example.com/{name}"} for name in "abc"]
    [found] = hints(flows=flows, worker={"concurrency": 5})
    assert found.name == "slots"
    assert "at least" in found.detail
    assert hints(flows=flows, worker={"concurrency": 6}) == []


def test_slots_that_are_kept_for_no_flow_for_want_of_a_queue_are_hinted_at() -> None:
    flows = [{"name": name, "url": f"https://flows.example.com/{name}"} for name in "ab"]
    topic = {"namespace": "contoso.servicebus.windows.net", "request_topic": "t", "request_subscription": "s"}
    [found] = hints(servicebus=topic, flows=flows, worker={"redelivery_s": []})
    assert found.name == "slots"
    assert "retry_queue" in found.detail
    assert hints(servicebus={**topic, "retry_queue": "r"}, flows=flows) == []


def test_the_longest_call_is_every_attempt_and_every_pause() -> None:
    retry = RetrySpec(attempts=4, first_s=1.0, max_s=2.0)
    assert longest_call_s(FlowSpec(name="f", url="", timeout_s=10.0, retry=retry)) == 40.0 + 1.0 + 2.0 + 2.0


def test_what_is_locked_is_told_with_lanes_and_windows() -> None:
    credit = one("credit", worker={"concurrency": 200})
    assert credit.detail.startswith("200 requests locked at most, over 16 receivers (2 while it's calm)")
    assert credit.facts["windows"] == {"queue 'flow-requests'": 12}
    topic = {"namespace": "contoso.servicebus.windows.net", "request_topic": "t", "request_subscription": "s"}
    assert one("credit", servicebus={**topic, "retry_queue": "r"}).facts["windows"] == {
        "subscription 's' of topic 't'": 12,
        "queue 'r'": 1,
    }


def test_with_sessions_each_request_in_hand_is_a_lane_and_a_connection() -> None:
    ordered = {"namespace": "contoso.servicebus.windows.net", "request_sessions": True}
    assert one("credit", servicebus=ordered, worker={"concurrency": 50}).facts["lanes"] == 50
    assert one("connections", servicebus=ordered, worker={"concurrency": 50}).facts["fleet"] == 54
    [many] = hints(servicebus=ordered, worker={"concurrency": 2000, "replicas": 3})
    assert "6,012 by all workers, and a namespace takes 5,000" in many.detail


def test_locks_are_renewed_as_often_as_the_longest_call_needs() -> None:
    flows = [{"url": "https://flows.example.com/", "timeout_s": 60, "retry": {"attempts": 1}}]
    facts = one("lock time", flows=flows).facts
    assert (facts["longest_s"], facts["renewed_every_s"], facts["renewals"]) == (60.0, [24.0, 30.0], [2, 3])


def test_a_session_is_locked_through_the_tries_in_place_too() -> None:
    ordered = {"namespace": "contoso.servicebus.windows.net", "request_sessions": True}
    flows = [{"url": "https://flows.example.com/", "timeout_s": 10, "retry": {"attempts": 1}}]
    worker = {"redelivery_s": [5, 30]}
    assert one("lock time", servicebus=ordered, flows=flows, worker=worker).facts["longest_s"] == 10 + 35 + 2 * 10
    assert one("lock time", flows=flows, worker=worker).facts["longest_s"] == 10


def test_callers_are_told_the_time_to_live_to_send() -> None:
    deadline = one("deadline", worker={"default_timeout_s": 5})
    assert (deadline.facts["request_ttl_s"], deadline.facts["reply_margin_s"]) == (65, 0.25)


def test_one_way_tries_are_told_with_all_their_delays() -> None:
    facts = one("redelivery").facts
    assert (facts["tries_at_most"], facts["delays_s"], facts["max_age_s"]) == (8, 755, 86_400)
    assert "then" not in one("redelivery", worker={"redelivery_s": []}).detail.partition(";")[0]


def test_an_age_that_ends_before_the_last_try_is_hinted_at() -> None:
    [told] = hints(worker={"max_age_s": 100})
    assert told.name == "redelivery"
    assert "raise max_age_s" in told.detail


def test_connections_are_counted_as_the_worker_opens_them() -> None:
    assert inspect.signature(ReplyOutbox).parameters["writers"].default == REPLY_WRITERS
    facts = one("connections", worker={"processes": 2}).facts
    assert (facts["receivers"], facts["senders"]) == (32, 2 * (REPLY_WRITERS + 1))
