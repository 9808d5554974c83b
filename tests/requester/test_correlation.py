import asyncio

import pytest

from worker.core.delivery import Delivery, PropertyValue
from worker.core.outcome import Outcome
from worker.requester import BusRefused
from worker.requester.correlation import Correlation


def answer_to(request_id: str | None, **properties: PropertyValue) -> Delivery:
    return Delivery(
        lock_token="t",
        sequence_number=1,
        delivery_count=0,
        enqueued_at=0.0,
        enqueued_time_ms=0,
        locked_until=60.0,
        message_id="reply",
        correlation_id=request_id,
        session_id="s",
        reply_to=None,
        reply_to_session_id=None,
        content_type="application/json",
        subject=None,
        to=None,
        partition_key=None,
        time_to_live_s=None,
        body=b"{}",
        properties={name.replace("_", "-"): value for name, value in properties.items()},
    )


def refused(request_id: str) -> BusRefused:
    return BusRefused("no such queue", request_id=request_id)


async def test_an_answer_reaches_the_caller_that_asked() -> None:
    correlation = Correlation()
    first, second = correlation.expect("a"), correlation.expect("b")
    correlation.answer(answer_to("b", outcome="answered", http_status=200, attempts=2, elapsed_ms=2**40, run_id="r"))
    reply = await second
    assert (reply.outcome, reply.http_status, reply.attempts, reply.run_id) == (Outcome.ANSWERED, 200, 2, "r")
    assert (reply.elapsed_ms, reply.request_id, reply.body) == (2**40, "b", b"{}")
    assert not first.done()


async def test_an_answer_after_the_time_out_is_late_and_one_never_asked_for_is_foreign() -> None:
    correlation = Correlation()
    correlation.expect("a")
    correlation.end("a")
    for request_id in ("a", "b", None):
        correlation.answer(answer_to(request_id, outcome="answered"))
    statistics = correlation.statistics(reconnects=0)
    assert (statistics.late, statistics.foreign, statistics.waiting, statistics.unanswered) == (1, 2, 0, 1)


async def test_a_second_answer_is_late_and_changes_nothing() -> None:
    correlation = Correlation()
    future = correlation.expect("a")
    correlation.answer(answer_to("a", outcome="answered"))
    correlation.answer(answer_to("a", outcome="refused"))
    assert (await future).outcome is Outcome.ANSWERED
    assert correlation.statistics(reconnects=0).late == 1


async def test_a_message_id_in_use_is_refused_and_one_that_ended_may_be_used_again() -> None:
    correlation = Correlation()
    correlation.expect("a")
    with pytest.raises(ValueError, match="waiting already"):
        correlation.expect("a")
    correlation.end("a")
    assert not correlation.expect("a").done()


@pytest.mark.parametrize("outcome", [None, "nonsense", 5, b"\xff"])
async def test_a_reply_that_names_no_known_outcome_is_indeterminate(outcome: PropertyValue) -> None:
    correlation = Correlation()
    future = correlation.expect("a")
    correlation.answer(answer_to("a", outcome=outcome, http_status="200"))
    reply = await future
    assert (reply.outcome, reply.http_status) == (Outcome.INDETERMINATE, None)


async def test_a_refusal_reaches_everybody_who_waits_and_nobody_twice() -> None:
    correlation = Correlation()
    future = correlation.expect("a")
    correlation.fail_all(refused)
    correlation.fail_all(refused)
    with pytest.raises(BusRefused, match="no such queue"):
        await future


async def test_a_refusal_that_nobody_looks_at_leaves_no_trace() -> None:
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    correlation = Correlation()
    correlation.expect("a")
    correlation.fail_all(refused)
    correlation.end("a")
    await asyncio.sleep(0)
    assert told == []
