"""What is sent again in a dead letter's place: a fresh request."""

from typing import Final

from worker.core.dead_letters.letter import DESCRIPTION, REASON, copy_id, sent_to
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
from worker.core.delivery import REDELIVERED, Delivery
from worker.core.redelivery import FIRST_ENQUEUED, Copy

# What befell the first one: with `first-enqueued` the copy would be too old at once, with `redelivered` an attempt of
# it would count as a second one, and with a Location it would only fetch an answer that has gone.
_OF_THE_PAST: Final = frozenset(
    {
        *(REASON, DESCRIPTION, DELIVERY_ATTEMPT, FIRST_ENQUEUED, REDELIVERED),
        *(ANSWER_ATTEMPTS, ANSWER_FLOW, ANSWER_LOCATION, ANSWER_RUN_ID),
    }
)


def copy_of(delivery: Delivery, *, to_flow: str | None = None) -> Copy:
    """Without `delivery-attempt` but with `request-id` the worker knows it for a replay.

    A request straight from its sender keeps `timeout-s` and its time to live, which count from now on. What a worker
    had sent again (only it writes `first-enqueued`) has in both what was left of a deadline that is over: it is given
    neither.
    """
    is_workers = FIRST_ENQUEUED in delivery.properties
    dropped = _OF_THE_PAST | {TIMEOUT_S} if is_workers else _OF_THE_PAST
    source = delivery if to_flow is None else sent_to(delivery, to_flow)
    kept = {name: value for name, value in source.properties.items() if name not in dropped}
    return Copy(
        original=delivery,
        message_id=copy_id(delivery),
        properties={**kept, REQUEST_ID: request_id_of(delivery)},
        time_to_live_s=None if is_workers else delivery.time_to_live_s,
        delay_s=0.0,
    )
