"""Copies of a one-way request that wait on the queue for their next try."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from worker.core.decode import DELIVERY_ATTEMPT, REQUEST_ID, request_id_of
from worker.core.delivery import Delivery, PropertyValue
from worker.core.outcome import Indeterminate, Unavailable

FIRST_ENQUEUED = "first-enqueued"  # epoch milliseconds, the broker's clock
_LEAST_WAIT_S = 1.0  # for an open circuit


@dataclass(frozen=True, slots=True, kw_only=True)
class RedeliverySpec:
    """`delays_s`: before the first, second, … further try; a copy that waits for a circuit takes none of them."""

    delays_s: tuple[float, ...]
    max_age_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """`original` as received; what differs stands beside it. Everything else of the original is kept."""

    original: Delivery
    message_id: str
    properties: Mapping[str, PropertyValue]
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

    Waiting for an open circuit is not a try: it leaves `delivery-attempt` as it is and ends by age alone.
    """
    age_s = max(0.0, now - first_enqueued_at(delivery))
    left_age_s = spec.max_age_s - age_s
    if isinstance(outcome, Unavailable) and outcome.circuit_open:
        delay_s = max(_LEAST_WAIT_S, outcome.retry_after_s or 0.0) * (1.0 + 0.2 * draw)
        if left_age_s >= _LEAST_WAIT_S:  # to the end of its age, though the circuit opens later
            delay_s = min(delay_s, left_age_s)
    elif tries < len(spec.delays_s):
        delay_s = max(spec.delays_s[tries], _asked_delay_s(outcome))
        tries += 1
    else:
        return NoFurtherTry(why=f"all {len(spec.delays_s) + 1} tries are spent")
    if delay_s > left_age_s:
        return NoFurtherTry(why=f"it is {age_s:.0f} s old and may wait {spec.max_age_s:g} s in all (max_age_s)")
    left_s = _time_to_live_left_s(delivery, now)
    if (deadline is not None and now + delay_s >= deadline) or (left_s is not None and delay_s >= left_s):
        return NoFurtherTry(why=f"the next try, in {delay_s:.0f} s, would come after its time is over")
    request_id = request_id_of(delivery)
    return Copy(
        original=delivery,
        message_id=_copy_id(request_id, delivery),
        properties={
            **delivery.properties,
            REQUEST_ID: request_id,
            DELIVERY_ATTEMPT: tries,
            FIRST_ENQUEUED: _first_enqueued_ms(delivery),
        },
        time_to_live_s=None if left_s is None else left_s - delay_s,
        delay_s=delay_s,
    )


def first_enqueued_at(delivery: Delivery) -> float:
    """When the request itself was enqueued, on the loop's clock: earlier than `enqueued_at` for a copy."""
    return delivery.enqueued_at - max(0.0, (delivery.enqueued_time_ms - _first_enqueued_ms(delivery)) / 1000)


def _asked_delay_s(outcome: Unavailable | Indeterminate) -> float:
    return (outcome.retry_after_s or 0.0) if isinstance(outcome, Unavailable) else 0.0


def _first_enqueued_ms(delivery: Delivery) -> int:
    kept = delivery.properties.get(FIRST_ENQUEUED)
    return kept if isinstance(kept, int) and not isinstance(kept, bool) else delivery.enqueued_time_ms


def _time_to_live_left_s(delivery: Delivery, now: float) -> float | None:
    if delivery.time_to_live_s is None:
        return None
    return delivery.time_to_live_s - max(0.0, now - delivery.enqueued_at)


def _copy_id(request_id: str, delivery: Delivery) -> str:
    """Differs from every earlier id of the request, but not when the same delivery is copied once more."""
    return hashlib.sha256(f"copy\0{request_id}\0{delivery.sequence_number}".encode()).hexdigest()[:32]
