from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from worker.core.outcome import Answered, FlowBody, Indeterminate, Refused, Unavailable
from worker.core.recall import Recall, Recalled, RecallSpec
from worker.core.settlement import Complete

from .conftest import Deliver, delivery_of

SMALL = RecallSpec(max_entries=5, max_bytes=20_000, max_age_s=60.0)
IN_DOUBT = Indeterminate(detail="No answer.", attempts=1)


def answered(size_bytes: int) -> Answered:
    body = FlowBody(content=b"x" * size_bytes, content_type="text/plain")
    return Answered(http_status=200, body=body, run_id="run-1", attempts=1)


def test_what_was_kept_is_known_until_it_is_forgotten(deliver: Deliver) -> None:
    recall = Recall()
    recall.keep(deliver(), IN_DOUBT, now=1.0)
    assert recall.look_up(deliver(), now=2.0) == Recalled(outcome=IN_DOUBT, settlement=None)
    recall.forget(deliver())
    recall.forget(deliver())
    assert recall.look_up(deliver(), now=2.0) is None
    assert len(recall) == 0


def test_a_later_word_on_a_delivery_replaces_the_earlier(deliver: Deliver) -> None:
    recall = Recall()
    recall.keep(deliver(), IN_DOUBT, now=1.0)
    recall.keep(deliver(), answered(3), settlement=Complete(), now=2.0)
    assert recall.look_up(deliver(), now=3.0) == Recalled(outcome=answered(3), settlement=Complete())
    assert len(recall) == 1


def test_a_redelivery_is_the_same_delivery_and_a_copy_or_replay_is_not(deliver: Deliver) -> None:
    recall = Recall()
    recall.keep(deliver(), IN_DOUBT, now=1.0)
    again = deliver(delivery_count=3, lock_token="another", locked_until=999.0)
    assert recall.look_up(again, now=2.0) is not None
    assert recall.look_up(deliver(message_id="copy"), now=2.0) is None
    assert recall.look_up(deliver(sequence_number=18), now=2.0) is None


def test_an_answer_too_large_to_keep_becomes_indeterminate_with_status_and_run(deliver: Deliver) -> None:
    recall = Recall(RecallSpec(max_bytes=8_000))
    recall.keep(deliver(), answered(1_001), now=1.0)
    recalled = recall.look_up(deliver(), now=1.0)
    assert recalled is not None
    outcome = recalled.outcome
    assert isinstance(outcome, Indeterminate)
    assert (outcome.http_status, outcome.run_id, outcome.code) == (200, "run-1", "TooLarge")
    recall.keep(deliver(), answered(1_000), now=1.0)
    kept = recall.look_up(deliver(), now=1.0)
    assert kept is not None
    assert kept.outcome == answered(1_000)


def test_the_oldest_goes_first(deliver: Deliver) -> None:
    recall = Recall(SMALL)
    deliveries = [deliver(sequence_number=number) for number in range(7)]
    for now, delivery in enumerate(deliveries):
        recall.keep(delivery, IN_DOUBT, now=float(now))
    known = [recall.look_up(delivery, now=7.0) is not None for delivery in deliveries]
    assert known == [False, False, True, True, True, True, True]


def test_what_is_too_old_is_not_known_any_more(deliver: Deliver) -> None:
    recall = Recall(SMALL)
    recall.keep(deliver(), IN_DOUBT, now=1.0)
    assert recall.look_up(deliver(), now=61.0) is not None
    assert recall.look_up(deliver(), now=61.1) is None


outcomes = st.one_of(
    st.integers(0, 4_000).map(answered),
    st.just(IN_DOUBT),
    st.just(Unavailable(detail="…", attempts=1)),
    st.integers(0, 300).map(
        lambda size: Refused(
            http_status=400, detail="…", attempts=1, body=FlowBody(content=b"y" * size, content_type=None)
        )
    ),
)
actions = st.tuples(st.sampled_from(["keep", "forget", "look up"]), st.integers(0, 9), outcomes, st.floats(0.0, 30.0))


@settings(deadline=None)
@given(course=st.lists(actions, max_size=60))
def test_memory_is_bounded_and_never_mixes_up_what_it_knows(
    course: list[tuple[str, int, Answered | Indeterminate | Unavailable | Refused, float]],
) -> None:
    recall, last, now = Recall(SMALL), dict[int, tuple[object, float]](), 0.0
    for action, number, outcome, wait_s in course:
        now += wait_s
        delivery = replace(delivery_of(), sequence_number=number)
        if action == "keep":
            recall.keep(delivery, outcome, now=now)
            last[number] = (outcome, now)
        elif action == "forget":
            recall.forget(delivery)
            last.pop(number, None)
        recalled = recall.look_up(delivery, now=now)
        if recalled is not None:
            kept, kept_at = last[number]
            is_shrunk = isinstance(kept, Answered) and len(kept.body.content) > SMALL.max_bytes // 8
            assert isinstance(recalled.outcome, Indeterminate) if is_shrunk else recalled.outcome == kept
            assert now - kept_at <= SMALL.max_age_s
        assert len(recall) <= SMALL.max_entries
        assert recall._size_bytes <= SMALL.max_bytes
        if action == "keep":
            assert recalled is not None, "what was just kept is known"
    for number in range(10):
        recall.forget(replace(delivery_of(), sequence_number=number))
    assert (len(recall), recall._size_bytes) == (0, 0)
