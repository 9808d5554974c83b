import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.observed import ANSWERED, logged

from worker.core.outcome import HeldBack, NoRetry, Outcome, Reason
from worker.core.settlement import Settled
from worker.core.story.lines import entry_of
from worker.core.story.search import AROUND, MOST_EVENTS, MOST_REQUESTS, MatchedBy, Search, Wanted
from worker.core.story.story import Story, story_of
from worker.core.story.telling import lasting, stamp

ID = "9f3c6a1e-7a1e-4a53-8a5a-6a7b1f0f2d11"
AT = "2026-11-26T10:31:03.563000Z"
ENDED: dict[str, Any] = {
    **logged(
        replace(
            ANSWERED,
            request_id=ID,
            correlation_id="conversation 7",
            call_s=1.31,
            times=replace(
                ANSWERED.times,
                first_enqueued_at=0.0,
                enqueued_at=0.0,
                started_at=0.048,
                replied_at=1.42,
                deadline=13.42,
                ended_at=1.45,
            ),
        )
    ),
    "timestamp": AT,
}


def line(**changes: Any) -> bytes:
    told = {**ENDED, **changes}
    return orjson.dumps({name: value for name, value in told.items() if value is not None})


def searched(lines: Sequence[bytes], wanted: str = ID) -> Search:
    search = Search(Wanted(wanted))
    search.read(lines)
    return search


def told(*lines: bytes, wanted: str = ID) -> Story:
    search = searched(lines, wanted)
    (found,) = search.requests.values()
    return story_of(found, search.around)


def text_of(story: Story) -> str:
    return "\n".join([story.headline, *(moment.text for moment in story.moments), *story.why, story.to_do])


WRAPPINGS: dict[str, Callable[[bytes], bytes]] = {
    "as it is": lambda line: line,
    "kubectl logs --prefix": lambda line: b"[pod/flowbridge-7c9f/worker] " + line,
    "docker compose": lambda line: b"flowbridge-7c9f  | " + line,
    "docker compose, coloured": lambda line: b"\x1b[36mflowbridge-7c9f  |\x1b[0m " + line,
    "journalctl": lambda line: b"Nov 26 10:31:03 flowbridge-7c9f flowbridge[123]: " + line,
    "a container runtime": lambda line: b"2026-11-26T10:31:03.563000000Z stdout F " + line,
    "docker's json-file": lambda line: orjson.dumps(
        {"log": line.decode() + "\n", "stream": "stderr", "time": "2026-11-26T10:31:03.563Z"}
    ),
    "journalctl -o json": lambda line: orjson.dumps({"MESSAGE": line.decode(), "_HOSTNAME": "flowbridge-7c9f"}),
    "logcli": lambda line: b'2026-11-26T10:31:03Z {app="flowbridge", pod="x"} ' + line,
    "logcli -o jsonl": lambda line: orjson.dumps({"labels": {"pod": "flowbridge-7c9f"}, "line": line.decode()}),
    "fluent bit": lambda line: orjson.dumps(
        {"message": json.loads(line), "kubernetes": {"pod_name": "flowbridge-7c9f"}}
    ),
    "Log Analytics": lambda line: json.dumps({"Log_s": line.decode(), "ReplicaName_s": "flowbridge-7c9f"}).encode(),
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_an_event_is_read_out_of_whatever_it_is_wrapped_in(wrapping: str) -> None:
    wrapped = WRAPPINGS[wrapping](line())
    assert told(wrapped).headline == told(line()).headline
    entry = entry_of(wrapped)
    assert entry is not None
    assert entry.source in {None, "flowbridge-7c9f"}
    assert (entry.source is None) == (wrapping in {"as it is", "a container runtime", "docker's json-file", "logcli"})


@pytest.mark.parametrize("identifier", ["größe 7", 'a "quoted" \\ id', "a/b", "🚀", "a+b&c<d>"])
@pytest.mark.parametrize("wrapping", ["as it is", "docker's json-file", "Log Analytics"])
def test_an_id_is_found_however_it_is_escaped(identifier: str, wrapping: str) -> None:
    story = told(WRAPPINGS[wrapping](line(request_id=identifier)), wanted=identifier)
    assert story.request_id == identifier


@given(st.lists(st.one_of(st.binary(), st.binary().map(lambda some: some + ID.encode() + some)), max_size=5))
def test_no_bytes_are_too_odd_to_be_read(lines: list[bytes]) -> None:
    search = searched(lines, ID)
    assert search.searched.lines == len(lines)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=6,
)


@given(
    st.dictionaries(st.sampled_from(sorted({*ENDED, "tries", "copy_in_s", "dead_letter", "defect", "process"})), JSON)
)
def test_no_fields_are_too_odd_to_be_told(garbled: dict[str, Any]) -> None:
    try:
        odd = orjson.dumps({**ENDED, **garbled, "request_id": ID})
    except TypeError:  # half of a surrogate pair
        return
    for found in searched([odd]).requests.values():
        assert story_of(found, []).headline


@given(st.lists(st.tuples(st.integers(0, 2**63), st.sampled_from(list(Settled)))), st.integers(0, len(line())))
def test_a_line_torn_anywhere_is_counted_and_the_others_are_told(deliveries: list[Any], at: int) -> None:
    torn = line()[:at]
    whole = [line(delivery_count=count, settled=settled) for count, settled in deliveries]
    search = searched([*whole, torn])
    assert bool(search.requests) == bool(whole) or at == len(line())
    assert search.searched.torn == (ID.encode() in torn and at < len(line()))


SETTLEMENTS = ("Complete", "Abandon", "DeadLetter", "LeaveLocked")
BECAUSE = [(None, None), *product(Reason, [None]), *product([None], HeldBack)]


@pytest.mark.parametrize("outcome", [*Outcome, None])
def test_every_end_has_its_words(outcome: Outcome | None) -> None:
    for settlement, settled, is_replied, is_copied in product(SETTLEMENTS, Settled, [True, False], [True, False]):
        for reason, held_back in BECAUSE:
            story = told(
                line(
                    outcome=outcome,
                    settlement=settlement,
                    settled=settled,
                    is_replied=is_replied,
                    is_copied=is_copied,
                    dead_letter=reason if settlement == "DeadLetter" else None,
                    held_back=held_back,
                    copy_in_s=5.0 if is_copied else None,
                    detail="Somebody said so.",
                )
            )
            assert story.headline.startswith(f"Request {ID} for flow credit-check: ")
            for said in [*story.why, story.headline, story.to_do]:
                assert said.endswith(".")
                assert ".." not in said
                assert "None" not in said


def test_every_dead_letter_reason_has_an_advice_of_its_own_or_its_senders() -> None:
    advices = {
        reason: told(line(outcome="refused", is_replied=False, settlement="DeadLetter", dead_letter=reason)).to_do
        for reason in Reason
    }
    shared = {Reason.MALFORMED, Reason.TOO_LARGE}
    assert len(set(advices.values())) == len(Reason) - len(shared) + 1
    assert all("{" not in advice for advice in advices.values())


def test_a_replay_that_may_run_a_flow_twice_is_named_as_such_and_an_id_is_quoted_for_a_shell() -> None:
    dead = line(
        request_id="a b",
        outcome="indeterminate",
        is_replied=False,
        settlement="DeadLetter",
        dead_letter="FlowIndeterminate",
    )
    assert "`flowbridge dead-letters replay --message-id 'a b' --even-if-it-ran`" in told(dead, wanted="a b").to_do
    assert "at run 08584 in Power Automate" in told(dead, wanted="a b").to_do


def test_copies_and_other_workers_deliveries_are_one_story_in_the_order_of_time() -> None:
    first = line(
        event="request_moved",
        outcome="unavailable",
        held_back="circuit",
        http_status=None,
        run_id=None,
        attempts=0,
        is_replied=False,
        is_copied=True,
        copy_in_s=5.0,
        reply_to=None,
        elapsed_s=0.1,
        timestamp="2026-11-26T10:31:00Z",
    )
    second = line(
        sequence_number=18,
        is_replied=False,
        reply_to=None,
        earlier_s=5.6,
        elapsed_s=6.1,
        timestamp="2026-11-26T10:31:06Z",
    )
    story = told(b"[pod/b/w] " + second, b"[pod/a/w] " + first, b"[pod/b/w] " + second)
    texts = [moment.text for moment in story.moments]
    assert texts[0] == "queued"
    assert texts[1].startswith("taken by a")
    assert texts[2] == "the flow's circuit was open, so a copy went onto the queue, due in 5 s, at no try"
    assert texts[3:5] == ["this delivery completed", "its copy came up in the queue"]
    assert texts[5].startswith("taken by b")
    assert texts.count("completed") == 1, "the same line twice is told once"
    assert "one-way and done after 6.1 s" in story.headline


def test_effects_stand_after_their_causes_whatever_rounding_made_of_the_times() -> None:
    moved = line(
        event="request_moved",
        outcome="unavailable",
        is_replied=False,
        is_copied=True,
        copy_in_s=2.0,
        call_s=0.002,
        queue_wait_s=0.048,
        tries=[{"at_s": 0.0508, "took_s": 0.001, "status": 429, "why": "HTTP 429."}],
        elapsed_s=0.0505,
    )
    texts = [moment.text for moment in told(moved).moments]
    assert [text.split(":")[0].split(" went")[0] for text in texts[2:]] == [
        "attempt 1",
        "a copy for the next try",
        "this delivery completed",
    ]


@pytest.mark.parametrize("why", NoRetry)
def test_why_a_flow_was_not_called_again_is_told_by_what_the_log_says_of_it(why: NoRetry) -> None:
    tries = [{"at_s": 0.1, "took_s": 0.5, "status": 504, "why": "No answer.", "may_have_run": True}]
    failed = {"outcome": "indeterminate", "detail": "No answer.", "tries": tries}
    (said,) = (each for each in told(line(**failed, no_retry=why)).why if "not called again" in each)
    assert " or " not in said.removesuffix("slots or starts that it may have.")
    assert "not called again" not in text_of(told(line(**failed)))


def test_a_file_is_no_worker() -> None:
    search = Search(Wanted(ID))
    search.read([line()], file="wk1.log")
    search.read([line(process=2, delivery_count=1, timestamp="2026-11-26T10:31:04Z")], file="wk2.log")
    third = line(delivery_count=2, timestamp="2026-11-26T10:31:05Z")
    search.read([b"[pod/a/worker] " + third], file="wk3.log")
    (found,) = search.requests.values()
    taken = [moment.text for moment in story_of(found, []).moments if moment.text.startswith("taken")]
    assert taken == [
        "taken after 48 ms in the queue (in wk1.log)",
        "taken again by process 2: the 2nd delivery of this message (in wk2.log)",
        "taken again by a: the 3rd delivery of this message (in wk3.log)",
    ]


def test_a_replay_starts_the_time_anew_and_is_told_as_one() -> None:
    dead = line(
        outcome="refused",
        settlement="DeadLetter",
        dead_letter="FlowRefused",
        is_replied=False,
        timestamp="2026-11-20T10:00:00Z",
    )
    story = told(dead, line(sequence_number=18, is_replay=True))
    assert "answered after 1.42 s" in story.headline
    assert "sent again by a replay" in [moment.text for moment in story.moments]
    assert "For all its deliveries together the flow was called twice." in story.why


@pytest.mark.parametrize(
    ("retry_after_s", "said"), [(None, "again; the flow"), (5.0, "again, after retry-after-s; the")]
)
def test_only_a_reply_that_has_one_is_told_to_have_a_retry_after(retry_after_s: float | None, said: str) -> None:
    assert said in told(line(outcome="unavailable", retry_after_s=retry_after_s)).to_do


def test_what_else_its_worker_went_through_is_told_while_it_lived_and_not_of_others() -> None:
    def around(event: str, at: str, pod: str = "a", **fields: Any) -> bytes:
        told = {"event": event, "timestamp": f"2026-11-26T10:31:{at}Z", **fields}
        return b"[pod/%s/worker] " % pod.encode() + orjson.dumps(told)

    story = told(
        around("lane_failed", "02.500", failure="The link was lost."),
        around("lane_failed", "01.000", failure="long before"),
        around("circuit_opened", "02.600", flow="another", reopens_in_s=15),
        b"[pod/a/worker] " + line(process=2),
        around("lane_recovered", "03.000"),
        around("drain_started", "03.000", pod="b"),
    )
    beside = [moment.text for moment in story.moments if moment.text.startswith("(")]
    assert beside == ["(a lost a link to the broker: The link was lost)", "(a had the link again)"]


def test_a_delivery_without_an_end_makes_every_workers_death_worth_telling() -> None:
    died = orjson.dumps({"event": "process_ended", "process": 3, "status": -9, "timestamp": "2026-11-26T10:31:03Z"})
    story = told(b"[pod/b/worker] " + died, b"[pod/a/worker] " + line(delivery_count=1))
    assert "process 3 ended with status -9" in text_of(story)
    assert "delivered once before without a line here" in text_of(story)


def test_an_event_of_a_request_without_a_delivery_is_told_too() -> None:
    lost = orjson.dumps({"event": "lock_lost", "request_id": ID, "sequence_number": 17, "timestamp": AT})
    story = told(lost)
    assert "No delivery of it has ended in this log" in story.headline
    assert [moment.text for moment in story.moments] == ["the lock on it was lost, so its work was cut short"]


@pytest.mark.parametrize(
    ("wanted", "matched_by"),
    [
        (ID, MatchedBy.REQUEST_ID),
        ("conversation 7", MatchedBy.CORRELATION_ID),
        ("17", MatchedBy.SEQUENCE_NUMBER),
        ("08584", MatchedBy.RUN_ID),
    ],
)
def test_a_request_is_found_by_any_of_its_ids(wanted: str, matched_by: MatchedBy) -> None:
    assert told(line(), wanted=wanted).matched_by is matched_by


@pytest.mark.parametrize("part", [ID[:8], "7", "conversation", "0858"])
def test_a_part_of_an_id_is_none(part: str) -> None:
    assert searched([line()], part).requests == {}


def test_what_is_kept_is_bounded_however_often_an_id_is_named() -> None:
    many = [line(request_id=f"r-{n}") for n in range(MOST_REQUESTS + 5)]
    often = [line(sequence_number=n) for n in range(MOST_EVENTS + 5)]
    events = [orjson.dumps({"event": event, "timestamp": AT}) for event in AROUND for _ in range(500)]
    search = searched([*events, *often, *many, *events], "conversation 7")
    assert len(search.requests) == MOST_REQUESTS
    assert len(search.requests_left_out) == 6
    assert search.requests[ID].left_out == 5
    assert len(search.around) <= 200


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0484, "48 ms"),
        (0.9996, "1 s"),
        (1.42, "1.42 s"),
        (59.6, "59.6 s"),
        (61, "1 min 1 s"),
        (7260, "2 h 1 min"),
        (1e5, "1 d 3 h"),
    ],
)
def test_durations_are_told_as_people_say_them(seconds: float, said: str) -> None:
    assert lasting(seconds) == said


@pytest.mark.parametrize("wanted", [ID, "17"])
def test_what_went_on_beside_a_request_is_told_also_where_its_line_has_the_id_by_chance(wanted: str) -> None:
    opened = {"event": "circuit_opened", "flow": "credit-check", "reopens_in_s": 17.0, "timestamp": AT}
    assert [entry.event for entry in searched([orjson.dumps(opened), line()], wanted).around] == ["circuit_opened"]


@pytest.mark.parametrize("year", ["1999", "8999", "9999"])
def test_times_that_no_calendar_has_end_no_story(year: str) -> None:
    tries = [{"at_s": 9e8, "took_s": 9e8, "why": "none"}]
    moved = line(timestamp=AT.replace("2026", year), tries=tries, is_copied=True, is_replied=False, copy_in_s=9e8)
    for found in searched([moved]).requests.values():
        assert story_of(found, []).headline
        assert [stamp(moment.at) for moment in story_of(found, []).moments]
