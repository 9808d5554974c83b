from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.dead_letters.copying import copy_of
from worker.core.dead_letters.groups import grouped
from worker.core.dead_letters.journal import (
    Entry,
    History,
    Mark,
    Step,
    begins_journal,
    history_in,
    last_sent,
    line_of,
    mark_line,
)
from worker.core.dead_letters.letter import FlowsSpec, Letter, copy_id, letter_of
from worker.core.dead_letters.pace import Pace
from worker.core.dead_letters.running import may_have_run
from worker.core.dead_letters.selection import Hindrance, Selection, is_untouched, planned
from worker.core.decode import decode
from worker.core.flow_spec import FlowSpec
from worker.core.match import Match
from worker.core.outcome import (
    Answered,
    Expired,
    FlowBody,
    Indeterminate,
    Outcome,
    Reason,
    Refused,
    Rejected,
    RequestOutcome,
    Unavailable,
)
from worker.core.redelivery import FIRST_ENQUEUED, Copy, RedeliverySpec, is_replay, plan_copy
from worker.core.request import Request
from worker.core.route import RouteRule
from worker.core.verdict import dead_letter, undeliverable

from .conftest import delivery_of

FLOWS = FlowsSpec(
    flows={
        "credit": FlowSpec(name="credit", url="https://x/"),
        "billing": FlowSpec(name="billing", url="https://x/", idempotent=True),
    },
    routes=(RouteRule(flow="billing", match=Match(subject="late")),),
)
REFUSED_BY_RUN = Refused(http_status=400, detail="The run said no.", attempts=1, run_id="0858", code="Nope, run away")
REFUSED_BY_TRIGGER = Refused(http_status=401, detail="no run for this token", attempts=1, code="Denied")
BODY = FlowBody(content=b"", content_type=None)
PROPERTIES = st.dictionaries(
    st.sampled_from(
        [
            *(
                "flow",
                "timeout-s",
                "idempotency-key",
                "request-id",
                "delivery-attempt",
                "first-enqueued",
                "redelivered",
            ),
            *("answer-location", "answer-flow", "DeadLetterReason", "DeadLetterErrorDescription", "tier"),
        ]
    ),
    st.one_of(st.text(max_size=8), st.integers(1, 2**40), st.booleans()),
)


def letter(properties: dict[str, Any] | None = None, *, reason: str | None = "FlowUnavailable", **given: Any) -> Letter:
    to_flow = given.pop("to_flow", None)
    told = {"DeadLetterReason": reason, **(properties or {})}
    return letter_of(delivery_of(properties=told, **given), FLOWS, to_flow=to_flow)


@pytest.mark.parametrize(
    ("outcome", "ran"),
    [
        (Indeterminate(detail="No answer.", attempts=1), True),
        (REFUSED_BY_RUN, True),
        (REFUSED_BY_TRIGGER, False),
        (Unavailable(detail="Refused.", attempts=4), False),
        (Expired(detail="Late."), False),
        *((Rejected(reason=reason, detail="wrong"), False) for reason in (Reason.MALFORMED, Reason.TOO_LARGE)),
    ],
)
def test_what_a_worker_wrote_says_whether_a_run_may_have_begun(outcome: RequestOutcome, ran: bool) -> None:
    dead = dead_letter(outcome, because="all 5 tries are spent")
    assert may_have_run(dead.reason, dead.description) is ran


@pytest.mark.parametrize(
    ("outcome", "ran"),
    [
        (Answered(http_status=200, body=BODY, run_id=None, attempts=1), True),
        (Indeterminate(detail="No answer.", attempts=1), True),
        (REFUSED_BY_RUN, True),
        (REFUSED_BY_TRIGGER, False),
        (Unavailable(detail="Refused.", attempts=4), False),
        (Expired(detail="Late."), False),
        (Rejected(reason=Reason.UNROUTABLE, detail="no flow"), False),
    ],
)
def test_an_undeliverable_answer_says_whether_a_run_was_behind_it(outcome: RequestOutcome, ran: bool) -> None:
    dead = undeliverable(outcome, "queue 'flow-replies': no such queue")
    assert may_have_run(dead.reason, dead.description) is ran


@pytest.mark.parametrize("reason", ["MaxDeliveryCountExceeded", "put aside by hand", None, "ReplyUndeliverable"])
def test_where_nothing_rules_a_run_out_there_may_have_been_one(reason: str | None) -> None:
    assert may_have_run(reason, None)


def test_what_the_broker_expired_never_ran() -> None:
    assert not may_have_run("TTLExpiredException", "The message expired and was dead lettered.")


@given(reason=st.sampled_from(Reason), outcome=st.sampled_from(Outcome), run=st.booleans(), code=st.text(max_size=20))
def test_a_description_that_names_a_run_is_never_taken_for_none(
    reason: Reason, outcome: Outcome, run: bool, code: str
) -> None:
    refused = Refused(http_status=400, detail="no", attempts=1, code=code, run_id="r-1" if run else None)
    dead = dead_letter(refused)
    assert not run or may_have_run(dead.reason, dead.description)
    assert not run or may_have_run(*_of(undeliverable(refused, "away")))


def _of(dead: Any) -> tuple[str, str]:
    return dead.reason, dead.description


def test_a_letter_belongs_to_the_flow_that_the_worker_would_choose() -> None:
    assert letter({"flow": "credit"}).flow == "credit"
    assert letter({"flow": "credit"}, subject="late").flow == "billing"
    assert letter({"flow": "gone"}).flow == "gone"
    assert letter().flow is None
    assert letter({"flow": "credit", "timeout-s": "soon"}, reason="Malformed").flow == "credit"
    only = FlowsSpec(flows={"credit": FLOWS.flows["credit"]})
    assert letter_of(delivery_of(), only).flow == "credit"


def test_a_copy_goes_to_the_flow_that_it_is_given_where_no_route_takes_it() -> None:
    assert letter(to_flow="credit").goes_to == "credit"
    elsewhere = letter(to_flow="credit", subject="late")
    assert (elsewhere.flow, elsewhere.goes_to, elsewhere.is_repeatable) == ("billing", "billing", True)


@given(PROPERTIES, st.one_of(st.none(), st.floats(1, 1e6)), st.one_of(st.none(), st.just("billing")))
def test_a_copy_is_a_fresh_request_with_all_that_its_sender_said(
    properties: dict[str, Any], time_to_live_s: float | None, to_flow: str | None
) -> None:
    dead = delivery_of(properties=properties, time_to_live_s=time_to_live_s, correlation_id="c", session_id="s")
    copy = copy_of(dead, to_flow=to_flow)
    assert copy.original == dead
    replayed = delivery_of(properties=copy.properties, message_id=copy.message_id)
    assert is_replay(replayed)
    request = decode(delivery_of(properties={**copy.properties, "timeout-s": 1}, message_id=copy.message_id))
    first = decode(delivery_of(properties={**properties, "timeout-s": 1, "delivery-attempt": 0}))
    if isinstance(request, Request) and isinstance(first, Request):
        assert (request.request_id, request.idempotency_key) == (first.request_id, first.idempotency_key)
        assert request.delivery_attempt == 0
        assert request.fetch is None
    gone = {"delivery-attempt", "first-enqueued", "redelivered", "answer-location", "answer-flow"}
    gone |= {"DeadLetterReason", "DeadLetterErrorDescription"}
    gone |= {"timeout-s"} if "first-enqueued" in properties else set()
    kept = {name: value for name, value in properties.items() if name not in gone}
    kept |= {"request-id": copy.properties["request-id"]} | ({} if to_flow is None else {"flow": to_flow})
    assert copy.properties == kept
    assert copy.time_to_live_s == (None if "first-enqueued" in properties else time_to_live_s)


def test_what_a_worker_had_sent_again_loses_the_rest_of_its_deadline() -> None:
    first = delivery_of(properties={"timeout-s": 30}, time_to_live_s=90.0)
    spec = RedeliverySpec(delays_s=(5.0,), max_age_s=3600.0)
    failed = Unavailable(detail="Refused.", attempts=1)
    planned_copy = plan_copy(failed, first, spec, tries=0, deadline=120.0, now=101.0, draw=0.0)
    assert isinstance(planned_copy, Copy)
    assert FIRST_ENQUEUED in planned_copy.properties
    dead = delivery_of(
        properties=planned_copy.properties, message_id=planned_copy.message_id, time_to_live_s=84.0, sequence_number=18
    )
    copy = copy_of(dead)
    assert copy.properties == {"request-id": "m-1"}
    assert copy.time_to_live_s is None
    assert copy_of(first).properties == {"request-id": "m-1", "timeout-s": 30}
    assert copy_of(first).time_to_live_s == 90.0


def test_a_copys_id_is_the_same_for_one_dead_letter_and_another_for_any_other() -> None:
    first = delivery_of()
    ids = [
        copy_id(first),
        copy_id(delivery_of(sequence_number=18)),
        copy_id(delivery_of(message_id="m-2")),
        copy_id(delivery_of(enqueued_time_ms=1_700_000_000_001)),
        copy_id(delivery_of(message_id=copy_id(first), properties={"request-id": "m-1"})),
        copy_id(delivery_of(message_id="\udcff")),
    ]
    assert copy_of(first).message_id == ids[0] == copy_id(delivery_of(delivery_count=3, lock_token="other"))
    assert len(set(ids)) == len(ids)


def test_a_selection_takes_what_every_criterion_holds_for() -> None:
    one = letter({"flow": "credit", "request-id": "first"}, message_id="copy", sequence_number=7)
    assert Selection().takes(one)
    assert Selection(reasons=["flowunavailable", "Expired"], flows=["credit"]).takes(one)
    assert not Selection(reasons=["Expired"]).takes(one)
    assert not Selection(flows=["billing"]).takes(one)
    for criterion in ({"ids": ["copy"]}, {"ids": ["first"]}, {"sequence_numbers": [7]}):
        assert Selection(**criterion).takes(one)
    assert Selection(ids=["other"], sequence_numbers=[7]).takes(one)
    assert not Selection(ids=["other"], sequence_numbers=[8]).takes(one)


def test_what_may_have_run_is_planned_for_an_idempotent_flow_or_when_told() -> None:
    letters = [
        letter({"flow": "credit"}, reason="FlowIndeterminate", sequence_number=1),
        letter({"flow": "billing"}, reason="FlowIndeterminate", sequence_number=2),
        letter({"flow": "credit"}, sequence_number=3),
        letter({"flow": "credit"}, sequence_number=4, body=None),
    ]
    plan = planned(letters, History(), asked="all", even_if_it_ran=False)
    assert list(plan.chosen) == [2, 3]
    assert plan.hindered == {Hindrance.MAY_HAVE_RUN: 1, Hindrance.NOT_COPYABLE: 1}
    assert list(planned(letters, History(), asked="all", even_if_it_ran=True).chosen) == [1, 2, 3]
    assert list(planned(letters, History(), asked="all", even_if_it_ran=True, most=2).chosen) == [1, 2]


def test_what_an_earlier_replay_sent_is_only_completed_and_what_it_was_about_to_send_is_looked_for() -> None:
    letters = [letter({"flow": "credit"}, sequence_number=number) for number in range(1, 6)]
    ids = [each.copy_id for each in letters]
    steps = {ids[0]: Step.SENT, ids[1]: Step.COMPLETED, ids[2]: Step.SENDING, ids[3]: Step.SENDING, ids[4]: Step.UNSENT}
    history = History(steps=steps)
    plan = planned(letters, history, asked="all", even_if_it_ran=False, most=3)
    assert (list(plan.sent), list(plan.doubtful), list(plan.chosen)) == ([1, 2], [3, 4], [5])
    plan.resolve({ids[2]}, is_untouched=False)
    assert (list(plan.sent), list(plan.doubtful), list(plan.chosen)) == ([1, 2, 3], [], [5])
    assert plan.hindered == {Hindrance.IN_DOUBT: 1}
    told = planned(letters, history, asked="all", even_if_it_ran=True)
    told.resolve(set(), is_untouched=False)
    assert list(told.sent) == [1, 2]
    assert sorted(told.chosen) == [3, 4, 5]


def test_what_is_missing_from_a_queue_that_nobody_took_from_never_arrived() -> None:
    lost = letter({"flow": "credit"})
    plan = planned([lost], History(steps={lost.copy_id: Step.SENDING}), asked="all", even_if_it_ran=False)
    sent = [f"copy-{number}" for number in range(120)]
    witnesses = last_sent(dict.fromkeys(sent, Step.SENT) | {"unsent": Step.UNSENT})
    assert witnesses == sent[20:]
    assert not is_untouched(witnesses, sent[:-1])
    assert not is_untouched(sent[:9], sent), "a slow flow may have all of them"
    assert is_untouched(witnesses, sent)
    plan.resolve(sent, is_untouched=True)
    assert list(plan.chosen) == [lost.sequence_number]


@given(st.lists(st.tuples(st.sampled_from([None, "Expired", "Malformed"]), st.integers(0, 2**41)), max_size=20))
def test_groups_count_every_letter_once_between_its_oldest_and_newest(rows: list[tuple[str | None, int]]) -> None:
    letters = [letter(reason=reason, enqueued_time_ms=at) for reason, at in rows]
    groups = grouped(letters)
    assert sum(group.count for group in groups) == len(letters)
    assert [group.count for group in groups] == sorted((group.count for group in groups), reverse=True)
    for group in groups:
        times = [at for reason, at in rows if reason == group.reason]
        assert (group.count, group.oldest_ms, group.newest_ms) == (len(times), min(times), max(times))


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(Step), st.text(max_size=5)), max_size=12))
def test_a_journal_tells_the_last_step_and_never_takes_a_sending_back(entries: list[tuple[str, Step, str]]) -> None:
    lines = [
        line_of(Entry(step=step, copy_id=copy, sequence_number=1, request_id=name, at=""))
        for copy, step, name in entries
    ]
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in lines)
    steps = history_in(lines).steps
    for copy in ("a", "b"):
        own = [step for each, step, _ in entries if each == copy]
        arrived = [step for step in own if step in {Step.SENT, Step.COMPLETED}]
        assert steps.get(copy) == (arrived[-1] if arrived else own[-1] if own else None)


@given(st.binary(max_size=40))
def test_whatever_else_is_in_a_journal_says_nothing(line: bytes) -> None:
    mine = line_of(Entry(step=Step.SENT, copy_id="a", sequence_number=1, request_id="\udcff", at=""))
    others = [b"{}", b"[]", b'{"copy_id":1,"step":"sent"}', b'{"copy_id":"a","step":"begun"}', b'{"step":"done"}']
    history = history_in([line, mine[:-9], b"\n", *others, mine])
    assert (history.steps, history.unfinished) == ({"a": Step.SENT}, {})


def entry(step: Step, of: Letter) -> bytes:
    told = Entry(step=step, copy_id=of.copy_id, sequence_number=of.sequence_number, request_id=of.request_id, at="")
    return line_of(told)


def died_again(of: Letter, *, sequence_number: int) -> Letter:
    return letter(
        {"flow": "credit", "request-id": of.request_id}, message_id=of.copy_id, sequence_number=sequence_number
    )


def test_what_an_unfinished_replay_sent_and_died_again_waits_for_the_next_one() -> None:
    first, second = (letter({"flow": "credit"}, message_id=f"m-{number}", sequence_number=number) for number in (1, 2))
    letters = [second, died_again(first, sequence_number=3)]
    lines = [mark_line(Mark.BEGUN, "all", ""), entry(Step.SENDING, first), entry(Step.SENT, first)]
    same = planned(letters, history_in(lines), asked="all", even_if_it_ran=True)
    assert (list(same.chosen), same.hindered) == ([2], {Hindrance.DIED_AGAIN: 1})
    assert list(planned(letters, history_in(lines), asked="id 'm-1'", even_if_it_ran=True).chosen) == [2, 3]
    lines += [mark_line(Mark.BEGUN, "other", ""), mark_line(Mark.DONE, "other", "")]
    assert list(planned(letters, history_in(lines), asked="all", even_if_it_ran=True).chosen) == [2]
    lines += [mark_line(Mark.DONE, "all", "")]
    assert list(planned(letters, history_in(lines), asked="all", even_if_it_ran=True).chosen) == [2, 3]


def test_a_copy_that_has_died_has_arrived_and_one_that_was_refused_may_go() -> None:
    first, second = (letter({"flow": "credit"}, message_id=f"m-{number}", sequence_number=number) for number in (1, 2))
    lines = [mark_line(Mark.BEGUN, "all", ""), entry(Step.SENDING, first), entry(Step.SENDING, second)]
    lines += [entry(Step.UNSENT, second)]
    letters = [first, second, died_again(first, sequence_number=3)]
    plan = planned(letters, history_in(lines), asked="all", even_if_it_ran=True)
    assert (list(plan.sent), list(plan.chosen), plan.hindered) == ([1], [2], {Hindrance.DIED_AGAIN: 1})


def test_the_same_choice_is_said_the_same_way() -> None:
    one = Selection(reasons=["Expired", "TooLarge"], flows=["a"], ids=frozenset({"x", "y"}))
    other = Selection(reasons=["toolarge", "expired", "Expired"], flows=["a"], ids=frozenset({"y", "x"}))
    assert str(one) == str(other) == "reason 'expired', reason 'toolarge', flow 'a', id 'x', id 'y'"
    assert str(Selection()) == "all"


@pytest.mark.parametrize("first", [b"[servicebus]\n", b"\x89PNG\r\n", b"{\n", b"\n", b'{"id":1}\n'])
def test_other_files_do_not_begin_like_a_journal(first: bytes) -> None:
    assert not begins_journal(first)
    assert begins_journal(mark_line(Mark.BEGUN, "all", "")[:15])


@given(
    st.floats(0.01, 1000),
    st.lists(st.tuples(st.floats(0, 10), st.integers(0, 200)), max_size=30),
)
def test_never_more_go_than_the_rate_allows(rate: float, asked: list[tuple[float, int]]) -> None:
    pace, now, sent = Pace(rate, 0.0), 0.0, 0
    for later_s, wanted in asked:
        now += later_s
        granted = pace.take(wanted, now)
        assert 0 <= granted <= wanted
        sent += granted
        assert sent <= 1 + rate * now + 1e-6
        if granted < wanted:
            assert pace.take(1, now + pace.wait_s(now) + 1e-6) == 1
            sent, now = sent + 1, now + pace.wait_s(now) + 1e-6


def test_without_a_rate_all_go_at_once() -> None:
    pace = Pace(None, 0.0)
    assert (pace.take(10_000, 0.0), pace.wait_s(0.0)) == (10_000, 0.0)
