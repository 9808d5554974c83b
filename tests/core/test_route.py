from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from worker.core.admission import AdmissionSpec
from worker.core.dataverse.event import Event
from worker.core.dataverse.facts import EventFacts
from worker.core.decode import decode
from worker.core.delivery import Delivery
from worker.core.flow_spec import FlowSpec
from worker.core.match import Match
from worker.core.outcome import Reason, Rejected
from worker.core.request import Request
from worker.core.route import RouteRule, choose, flow_for, tried

from .events import STRIPPED, update
from .events import request_of as event_request

Deliver: TypeAlias = Callable[..., Delivery]

FLOWS = ("billing", "credit-check")
ADMISSION = AdmissionSpec(max_depth=8, organizations=())
STRICT, LAX = FlowSpec(name="billing", url="https://x/"), FlowSpec(name="lax", url="https://x/", truncated="pass")
EVENT = EventFacts(message="Update", table="account", stage=40, mode=0, organization="Contoso")


@pytest.fixture
def request_of(deliver: Deliver) -> Any:
    def make(facts: EventFacts | None = EVENT, **given: Any) -> Request:
        event = None if facts is None else Event(facts, b"")
        request = decode(deliver(**given))
        assert isinstance(request, Request)
        return Request(**{name: getattr(request, name) for name in request.__slots__} | {"event": event})

    return make


def rule(flow: str, **conditions: Any) -> RouteRule:
    return RouteRule(flow=flow, match=Match(**conditions))


def unroutable(outcome: str | Rejected) -> str:
    assert isinstance(outcome, Rejected)
    assert outcome.reason is Reason.UNROUTABLE
    return outcome.detail


@pytest.mark.parametrize(
    "conditions",
    [
        {},
        {"message": "update"},
        {"table": "ACCOUNT"},
        {"stage": 40},
        {"mode": 0},
        {"organization": "contoso"},
        {"subject": "credit"},
        {"properties": {"region": "emea"}},
        {"properties": {"priority": "3", "urgent": "true", "score": "1.5"}},
        {"message": "Update", "table": "account", "stage": 40, "subject": "credit", "properties": {"region": "emea"}},
    ],
)
def test_a_rule_whose_conditions_all_hold_is_taken(request_of: Any, conditions: dict[str, Any]) -> None:
    properties = {"region": "emea", "priority": 3, "urgent": True, "score": 1.5}
    request = request_of(subject="credit", properties=properties)
    assert choose([rule("credit-check", **conditions)], FLOWS, request) == "credit-check"


@pytest.mark.parametrize(
    "conditions",
    [
        {"message": "Create"},
        {"table": "contact"},
        {"stage": 20},
        {"mode": 1},
        {"organization": "other"},
        {"subject": "Credit"},
        {"properties": {"region": "EMEA"}},
        {"properties": {"absent": "x"}},
        {"message": "Update", "table": "contact"},
    ],
)
def test_one_condition_that_fails_is_enough_to_pass_a_rule_by(request_of: Any, conditions: dict[str, Any]) -> None:
    request = request_of(subject="credit", properties={"region": "emea"})
    unroutable(choose([rule("credit-check", **conditions)], FLOWS, request))


def test_the_first_rule_that_holds_wins_over_the_flow_property(request_of: Any) -> None:
    rules = [rule("credit-check", stage=20), rule("billing", stage=40), rule("credit-check", stage=40)]
    assert choose(rules, FLOWS, request_of(properties={"flow": "credit-check"})) == "billing"


def test_without_a_match_the_flow_property_decides(request_of: Any) -> None:
    rules = [rule("billing", stage=20)]
    assert choose(rules, FLOWS, request_of(properties={"flow": "credit-check"})) == "credit-check"


def test_a_condition_on_an_event_never_holds_for_any_other_body(request_of: Any) -> None:
    unroutable(choose([rule("billing", message="Update")], FLOWS, request_of(facts=None)))


def test_no_route_leads_away_from_a_flow_that_is_fixed(request_of: Any) -> None:
    rules = [rule("billing", table="account")]
    asked = {"flow": "credit-check", "flow-fixed": True}
    assert choose(rules, FLOWS, request_of(properties=asked)) == "credit-check"
    assert choose(rules, FLOWS, request_of(properties={**asked, "flow-fixed": "true"})) == "billing"
    assert "'nope'" in unroutable(choose(rules, FLOWS, request_of(properties={**asked, "flow": "nope"})))


def test_the_only_flow_needs_no_name(request_of: Any) -> None:
    assert choose([], ["billing"], request_of()) == "billing"


def test_an_unknown_flow_is_unroutable_even_beside_the_only_one(request_of: Any) -> None:
    detail = unroutable(choose([], ["billing"], request_of(properties={"flow": "https://evil.example/"})))
    assert "https://evil.example/" in detail
    assert "billing" in detail


def test_with_several_flows_and_no_word_the_known_ones_are_listed(request_of: Any) -> None:
    assert "billing, credit-check" in unroutable(choose([], FLOWS, request_of()))


def test_a_route_that_the_facts_pass_by_leaves_a_broken_context_unread() -> None:
    sent = update({"name": "x"}, InputParameters=7)
    rules = [rule("credit-check", table="contact", changed=("name",)), rule("billing", table="account")]
    assert choose(rules, FLOWS, event_request(sent)) == "billing"


def test_a_route_that_needs_a_broken_context_rejects_it_as_malformed() -> None:
    rules = [rule("credit-check", changed=("name",)), rule("billing")]
    rejected = choose(rules, FLOWS, event_request(update({}, InputParameters=7)))
    assert isinstance(rejected, Rejected)
    assert rejected.reason is Reason.MALFORMED
    assert rejected.detail == "the Dataverse context can't be read: InputParameters: expected a list, found an integer"


def test_a_route_that_needs_columns_which_dataverse_left_out_rejects_the_event_as_truncated() -> None:
    rules = [rule("credit-check", changed=("name",)), rule("billing")]
    rejected = choose(rules, FLOWS, event_request(update({}), properties=STRIPPED))
    assert isinstance(rejected, Rejected)
    assert rejected.reason is Reason.TRUNCATED


def test_rules_are_tried_up_to_the_first_that_holds() -> None:
    rules = [rule("credit-check", stage=20), rule("billing"), rule("credit-check")]
    assert [(each.flow, mismatch is None) for each, mismatch in tried(rules, event_request(update({})))] == [
        ("credit-check", False),
        ("billing", True),
    ]


def test_an_event_is_admitted_before_it_is_routed() -> None:
    rejected = flow_for(event_request(update({}, Depth=9)), [], {"billing": STRICT}, ADMISSION)
    assert isinstance(rejected, Rejected)
    assert rejected.reason is Reason.UNROUTABLE


def test_what_dataverse_stripped_goes_only_to_a_flow_that_takes_it() -> None:
    stripped, flows = event_request(update({}), properties=STRIPPED), {"billing": STRICT, "lax": LAX}
    rejected = flow_for(stripped, [rule("billing")], flows, ADMISSION)
    assert isinstance(rejected, Rejected)
    assert rejected.reason is Reason.TRUNCATED
    assert flow_for(stripped, [rule("lax")], flows, ADMISSION) is LAX
    assert flow_for(event_request(update({})), [rule("billing")], flows, ADMISSION) is STRICT
