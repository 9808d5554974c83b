"""AMQP's outcomes in the broker's words."""

from __future__ import annotations

from typing import assert_never

from worker.emulator.amqp.performatives import Accepted, DeliveryState, Error, Modified, Received, Rejected, Released
from worker.emulator.amqp.types import Described
from worker.emulator.broker import Abandon, Complete, DeadLetter, Defer, Release, Settlement
from worker.emulator.server.request_fields import as_properties


def settlement_of(state: DeliveryState | None) -> Settlement | None:
    """None: nothing is settled by this."""
    match state:
        case Accepted():
            return Complete()
        case Released():
            return Release()
        case Modified(undeliverable_here=True):
            return Defer(properties=as_properties(state.message_annotations))
        case Modified():
            return Abandon(properties=as_properties(state.message_annotations))
        case Rejected():
            return _dead_letter(state.error)
        case Received() | Described() | None:
            return None
        case _:
            assert_never(state)


def _dead_letter(error: Error | None) -> DeadLetter:
    """Reason and description stand in the error's info, together with properties to set."""
    properties = as_properties(error.info if error else None)
    reason = properties.pop("DeadLetterReason", None)
    description = properties.pop("DeadLetterErrorDescription", error.description if error else None)
    return DeadLetter(
        reason=None if reason is None else str(reason),
        description=None if description is None else str(description),
        properties=properties,
    )
