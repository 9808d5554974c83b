"""Copies of a request that wait on the queue: for their next try, or for the answer of a run that goes on."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from worker.core.decode import (
    ANSWER_ATTEMPTS,
    ANSWER_FLOW,
    ANSWER_LOCATION,
    ANSWER_RUN_ID,
    DELIVERY_ATTEMPT,
    REQUEST_ID,
    TIMEOUT_S,
    request_id_of,
)
from worker.core.delivery import REDELIVERED, Delivery, PropertyValue
from worker.core.outcome import Indeterminate, Running, Unavailable

FIRST_ENQUEUED = "first-enqueued"  # epoch milliseconds, the broker's clock
_LEAST_HANDOVER_S = 0.2  # so that the original has gone before the copy comes
LEAST_TIME_S = 1.0  # that a copy needs before its deadline, to be called and answered
LEAST_WAIT_S = 1.0  # for what our own limits hold back
_OF_AN_ANSWER = frozenset({ANSWER_ATTEMPTS, ANSWER_FLOW, ANSWER_LOCATION, ANSWER_RUN_ID})
_OF_A_COPY = frozenset({DELIVERY_ATTEMPT, ANSWER_LOCATION})


@dataclass(frozen=True, slots=True, kw_only=True)
class RedeliverySpec:
    """`delays_s`: before the first, second, … further try; a request that was held back takes none of them.

    `is_in_place`: sessions keep their order, so a request is tried again where it is, and no copy of it is made.
    """

    delays_s: tuple[float, ...]
    max_age_s: float
    is_in_place: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """`original` as received; what differs stands beside it. Everything else of the original is kept."""

    original: Delivery
    message_id: str
    properties: Mapping[str, PropertyValue] = field(repr=False)
    time_to_live_s: float | None
    delay_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NoFurtherTry:
    why: str


def plan_copy(
    outcome: Unavailable | Indeterminate,
    delivery: Delivery,
    spec: RedeliverySpec,
    *,
    tries: int,
    deadline: float | None,
    now: float,
    draw: float,
) -> Copy | NoFurtherTry:
    """`tries`: redeliveries so far; `deadline` and `now` are on the loop's clock; `draw` is uniform in [0, 1).

    What our own limits held back has spent no try: `delivery-attempt` stays as it is, and age alone ends it.
    """
    age_s = max(0.0, now - first_enqueued_at(delivery))
    left_age_s = spec.max_age_s - age_s
    if isinstance(outcome, Unavailable) and outcome.held_back is not None:
        delay_s = max(LEAST_WAIT_S, outcome.retry_after_s or 0.0) * (1.0 + 0.2 * draw)
        if left_age_s >= LEAST_WAIT_S:  # to the end of its age, though its turn comes later
            delay_s = min(delay_s, left_age_s)
    elif tries < len(spec.delays_s):
        delay_s = max(spec.delays_s[tries], asked_delay_s(outcome))
        tries += 1
    else:
        return NoFurtherTry(why=f"all {len(spec.delays_s) + 1} tries are spent")
    if delay_s > left_age_s:
        return NoFurtherTry(why=f"it is {age_s:.0f} s old and may wait {spec.max_age_s:g} s in all (max_age_s)")
    left_s = _time_to_live_left_s(delivery, now)
    if (deadline is not None and now + delay_s + LEAST_TIME_S >= deadline) or (
        left_s is not None and delay_s >= left_s
    ):
        return NoFurtherTry(why=f"the next try, in {delay_s:.0f} s, would come after its time is over")
    kept = {name: value for name, value in delivery.properties.items() if name not in _OF_AN_ANSWER}
    return Copy(
        original=delivery,
        message_id=_copy_id("copy", delivery),
        properties={**kept, **_origin(delivery, deadline, now), DELIVERY_ATTEMPT: tries},
        time_to_live_s=_time_to_live_s(left_s, delay_s, deadline, now),
        delay_s=delay_s,
    )


def plan_fetch(running: Running, delivery: Delivery, *, flow: str, delay_s: float, deadline: float, now: float) -> Copy:
    """A copy that asks for a run's answer, from `delay_s` on until `deadline`; who receives it never calls the flow."""
    delay_s = max(delay_s, _LEAST_HANDOVER_S)
    answer: dict[str, PropertyValue] = {
        ANSWER_LOCATION: running.location,
        ANSWER_FLOW: flow,
        ANSWER_ATTEMPTS: running.attempts,
    }
    if running.run_id is not None:
        answer[ANSWER_RUN_ID] = running.run_id
    return Copy(
        original=delivery,
        message_id=_copy_id("fetch", delivery),
        properties={**delivery.properties, **_origin(delivery, deadline, now), **answer},
        time_to_live_s=_outliving_s(deadline - now - delay_s),
        delay_s=delay_s,
    )


def is_replay(delivery: Delivery) -> bool:
    """Whether an operator sent it again, rather than its sender for the first time, or a worker."""
    return REQUEST_ID in delivery.properties and not _OF_A_COPY & delivery.properties.keys()


def origin_of(delivery: Delivery) -> tuple[str, int]:
    """The same for a request and every copy of it. With the time, because two senders may number alike."""
    return request_id_of(delivery), _first_enqueued_ms(delivery)


def first_enqueued_at(delivery: Delivery) -> float:
    """When the request itself was enqueued, on the loop's clock: earlier than `enqueued_at` for a copy."""
    return delivery.enqueued_at - max(0.0, (delivery.enqueued_time_ms - _first_enqueued_ms(delivery)) / 1000)


def _origin(delivery: Delivery, deadline: float | None, now: float) -> dict[str, PropertyValue]:
    """What a copy must say of the first message, because its own enqueued time and time to live are others."""
    origin: dict[str, PropertyValue] = {
        REQUEST_ID: request_id_of(delivery),
        FIRST_ENQUEUED: _first_enqueued_ms(delivery),
    }
    if delivery.is_redelivered:
        origin[REDELIVERED] = True
    if deadline is not None:
        # As `deadline_of` reads it: by a clock behind the broker's a request would come from the future.
        origin[TIMEOUT_S] = round(max(deadline - min(first_enqueued_at(delivery), now), 0.001), 3)
    return origin


def _time_to_live_s(left_s: float | None, delay_s: float, deadline: float | None, now: float) -> float | None:
    """Counted from when the copy becomes visible, `delay_s` from now."""
    if deadline is not None:
        return _outliving_s(deadline - now - delay_s)
    return None if left_s is None else left_s - delay_s


def _outliving_s(left_s: float) -> float:
    """So long that a worker still sees the copy after its deadline, and tells its caller."""
    return max(left_s, 0.0) + 60.0


def asked_delay_s(outcome: Unavailable | Indeterminate) -> float:
    return (outcome.retry_after_s or 0.0) if isinstance(outcome, Unavailable) else 0.0


def _first_enqueued_ms(delivery: Delivery) -> int:
    kept = delivery.properties.get(FIRST_ENQUEUED)
    if isinstance(kept, int) and not isinstance(kept, bool):
        return min(kept, delivery.enqueued_time_ms)
    return delivery.enqueued_time_ms


def _time_to_live_left_s(delivery: Delivery, now: float) -> float | None:
    if delivery.time_to_live_s is None:
        return None
    return delivery.time_to_live_s - max(0.0, now - delivery.enqueued_at)


def _copy_id(kind: str, delivery: Delivery) -> str:
    """Differs from every earlier id of the request, but not when the same delivery is copied once more."""
    named = f"{kind}\0{request_id_of(delivery)}\0{delivery.sequence_number}\0{delivery.message_id}"
    return hashlib.sha256(named.encode()).hexdigest()[:32]
