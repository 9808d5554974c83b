"""How long things take at worst, and how long they may."""

import math
from collections.abc import Iterator, Sequence
from typing import Final

from worker.bridge.renewals import RENEWED_AT
from worker.cli.finding import Finding, hint, ok
from worker.cli.listing import some_of
from worker.core.deadline import reply_margin_s
from worker.core.flow_spec import FlowSpec
from worker.core.reply import MIN_TIME_TO_LIVE_S
from worker.core.retry import FIRST_POLL_S, LONGEST_POLL_S
from worker.requester.requester import GRACE_S
from worker.settings import Settings

PLATFORM_ANSWERS_WITHIN_S: Final = 120.0
CLOSING_S: Final = 15.0


def times(settings: Settings) -> Iterator[Finding]:
    yield _lock(settings)
    yield _deadline(settings)
    yield _later_answers(settings)
    yield from _redelivery(settings)
    yield from _drain(settings)
    waiting = [flow for flow in settings.flow_specs().values() if flow.timeout_s > PLATFORM_ANSWERS_WITHIN_S]
    if waiting:
        why = "a flow's timeout_s is longer than the 120 s after which Power Automate gives up"
        yield hint("time-out", f"{why}: {_timed(waiting)}; lower it, unless the flow answers 202 first")
    if settings.servicebus.max_delivery_count < 3:
        yield hint("deliveries", "callers hear of a failing worker from the third delivery on; allow at least 3")


def longest_call_s(flow: FlowSpec) -> float:
    """Every attempt to its end, every pause at its longest."""
    retry = flow.retry
    pauses_s = (min(retry.max_s, retry.first_s * 2.0 ** min(number, 60)) for number in range(retry.attempts - 1))
    return retry.attempts * flow.timeout_s + sum(pauses_s)


def longest_lock_s(flow: FlowSpec, settings: Settings) -> float:
    """With sessions a request is tried again under its session's lock, an attempt after each of `redelivery_s`."""
    in_place = settings.worker.redelivery_s if settings.servicebus.request_sessions else ()
    return longest_call_s(flow) + sum(in_place) + len(in_place) * flow.timeout_s


def _lock(settings: Settings) -> Finding:
    slowest = max(settings.flow_specs().values(), key=longest_call_s)
    longest_s, lock_s = longest_lock_s(slowest, settings), settings.servicebus.lock_s
    often_s, seldom_s = (share * lock_s for share in RENEWED_AT)
    most, least = (math.ceil(longest_s / every_s) for every_s in (often_s, seldom_s))
    in_place = ", and then the tries in its session" if settings.servicebus.request_sessions else ""
    made_of = f"{slowest.retry.attempts} attempts of {slowest.timeout_s:g} s and their pauses{in_place}"
    renewed = f"the {lock_s:g} s lock is renewed every {often_s:g} to {seldom_s:g} s, about {least} to {most} times"
    return ok(
        "lock time",
        f"{longest_s:.0f} s at worst (flow {slowest.name}: {made_of}); {renewed}",
        longest_s=longest_s,
        lock_s=lock_s,
        renewed_every_s=[often_s, seldom_s],
        renewals=[least, most],
    )


def _deadline(settings: Settings) -> Finding:
    timeout_s = settings.worker.default_timeout_s
    margin_s = reply_margin_s(timeout_s)
    default = f"{timeout_s:g} s for a caller who names no timeout-s, {margin_s:g} s of it kept for the answer's way"
    advice = f"callers send timeout-s and a TTL of that plus {GRACE_S:g} s (here {timeout_s + GRACE_S:g} s)"
    answer = f"an answer lives {MIN_TIME_TO_LIVE_S:g} s at least"
    return ok(
        "deadline",
        f"{default}; {advice}; {answer}",
        default_timeout_s=timeout_s,
        reply_margin_s=margin_s,
        request_ttl_s=timeout_s + GRACE_S,
        least_reply_ttl_s=MIN_TIME_TO_LIVE_S,
    )


def _later_answers(settings: Settings) -> Finding:
    longest_s = max(flow.timeout_s for flow in settings.flow_specs().values())
    often = f"after its Retry-After, else after {FIRST_POLL_S:g} s growing to {LONGEST_POLL_S:g} s"
    until = f"until the caller's deadline (one-way: for timeout_s, {longest_s:g} s at most)"
    return ok(
        "later answers",
        f"a flow that answers 202 is asked {often}, {until}",
        first_poll_s=FIRST_POLL_S,
        longest_poll_s=LONGEST_POLL_S,
    )


def _redelivery(settings: Settings) -> Iterator[Finding]:
    delays_s, max_age_s = settings.worker.redelivery_s, settings.worker.max_age_s
    attempts = max(flow.retry.attempts for flow in settings.flow_specs().values())
    total_s = sum(delays_s)
    told = f"a one-way request is tried {attempts} times at once"
    if delays_s:
        where = "in its session, which waits" if settings.servicebus.request_sessions else "as a copy"
        told += f", then {where}, after {', '.join(f'{delay_s:g}' for delay_s in delays_s)} s ({total_s:g} s in all)"
    told += f"; it is a dead letter then, or once it is {max_age_s:,.0f} s old"
    tries = attempts + len(delays_s)
    yield ok("redelivery", told, tries_at_most=tries, delays_s=total_s, max_age_s=max_age_s)
    if max_age_s < total_s:
        late = f"max_age_s ({max_age_s:g} s) ends before the last of redelivery_s, {total_s:g} s after the first try"
        yield hint("redelivery", f"{late}; raise max_age_s, or shorten redelivery_s")


def _drain(settings: Settings) -> Iterator[Finding]:
    drain_s, grace_s = settings.worker.drain_s, settings.worker.grace_s
    told = f"{drain_s:g} s, below the platform's grace of {grace_s:g} s"
    yield ok("drain", told, drain_s=drain_s, grace_s=grace_s)
    cut = [flow for flow in settings.flow_specs().values() if flow.timeout_s > drain_s]
    if cut:
        why = f"an attempt of a flow may take longer than drain_s ({drain_s:g} s), and is cut when that ends"
        yield hint("drain", f"{why}: {_timed(cut)}; raise drain_s and grace_s if that matters")
    if grace_s - drain_s < CLOSING_S:
        left = f"grace_s leaves {grace_s - drain_s:g} s after drain_s"
        closing = f"and closing the links may take up to {CLOSING_S:g} s"
        yield hint("grace", f"{left}, {closing}; raise grace_s, or lower drain_s")


def _timed(flows: Sequence[FlowSpec]) -> str:
    return some_of([f"{flow.name} ({flow.timeout_s:g} s)" for flow in flows])
