"""Saying to the broker how a delivery ends, and reading its answer."""

from typing import Final, assert_never

import structlog
from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus.aio import ServiceBusReceiver
from azure.servicebus.exceptions import (
    MessageAlreadySettled,
    MessageLockLostError,
    MessageNotFoundError,
    SessionLockLostError,
)

from worker.core.settlement import Abandon, Complete, DeadLetter, LeaveLocked, Settled, Settlement
from worker.servicebus.failures import Unreadable, explain
from worker.timers import TimeLimit

_log = structlog.stdlib.get_logger(__name__)

LONGEST_DESCRIPTION: Final = 4096  # characters, the broker's limit


async def settle(
    receiver: ServiceBusReceiver, message: ServiceBusReceivedMessage, settlement: Settlement, limit: TimeLimit
) -> Settled:
    """`FAILED` leaves in doubt whether the broker heard it, and the link with it."""
    try:
        with limit:
            await _say(receiver, message, settlement)
    except (MessageLockLostError, SessionLockLostError, MessageNotFoundError):
        return Settled.LOCK_LOST
    except MessageAlreadySettled:  # said by the SDK alone, once the broker had confirmed
        return Settled.DONE
    except Exception as error:  # noqa: BLE001 - on a lost link the SDK lets AttributeError, KeyError and others escape
        failure = explain(error, "Settling")
        if isinstance(failure, Unreadable):  # it came while the broker's answer was read
            _log.warning("message_unreadable", failure=str(failure))
        return Settled.FAILED
    return Settled.DONE


async def _say(receiver: ServiceBusReceiver, message: ServiceBusReceivedMessage, settlement: Settlement) -> None:
    match settlement:
        case Complete():
            await receiver.complete_message(message)
        case Abandon():
            await receiver.abandon_message(message)
        case DeadLetter(reason=reason, description=description):
            await receiver.dead_letter_message(
                message, reason=reason.value, error_description=description[:LONGEST_DESCRIPTION]
            )
        case LeaveLocked():
            pass
        case _:
            assert_never(settlement)
