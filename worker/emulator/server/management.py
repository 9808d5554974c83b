"""What `$management` does: an operation's name and map in, a status and map out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from worker.emulator.amqp.errors import NOT_IMPLEMENTED, DecodeError
from worker.emulator.amqp.performatives import Map
from worker.emulator.amqp.types import Array, Int
from worker.emulator.broker import (
    Abandon,
    BrokeredMessage,
    BrokerError,
    Complete,
    DeadLetter,
    Defer,
    ReceiveMode,
    Settlement,
)
from worker.emulator.server.conditions import ARGUMENT_ERROR, NO_CONTENT, SERVER_BUSY, meaning_of
from worker.emulator.server.floor import Floor
from worker.emulator.server.messages import encode_message, read_messages, timestamp
from worker.emulator.server.request_fields import Fields, RequestError

_LONG: Final = 0x81
_TIMESTAMP: Final = 0x83
_STRING: Final = 0xA1
_RECEIVE_AND_DELETE: Final = 0
"""The receiver settle mode that asks for it."""


class Answer(NamedTuple):
    status: int
    description: str
    condition: str | None
    body: Map


BUSY: Final = Answer(503, "the broker is busy, on request", SERVER_BUSY, {})


def answer(floor: Floor, entity: str, operation: object, body: object) -> Answer:
    perform = _OPERATIONS.get(str(operation).removeprefix("com.microsoft:"))
    if perform is None:
        return Answer(501, f"{operation!r} is no operation of this broker", NOT_IMPLEMENTED, {})
    try:
        fields = Fields(body)
        result = perform(floor, entity, fields)
    except BrokerError as error:
        meaning = meaning_of(error)
        return Answer(meaning.status, str(error), meaning.condition, {})
    except (RequestError, DecodeError) as error:
        return Answer(400, str(error), ARGUMENT_ERROR, {})
    if result is None:
        return Answer(NO_CONTENT, "nothing is there", None, {})
    return Answer(200, "OK", None, result)


def _renew_lock(floor: Floor, entity: str, fields: Fields) -> Map:
    expirations = floor.broker.renew_locks(entity, fields.uuids("lock-tokens"), floor.now())
    return {"expirations": Array(_TIMESTAMP, tuple(timestamp(expiration) for expiration in expirations))}


def _renew_session_lock(floor: Floor, entity: str, fields: Fields) -> Map:
    return {"expiration": timestamp(floor.broker.renew_session_lock(entity, fields.text("session-id"), floor.now()))}


def _peek(floor: Floor, entity: str, fields: Fields) -> Map | None:
    found = floor.broker.peek(
        entity,
        from_sequence_number=fields.integer("from-sequence-number", default=0),
        count=fields.integer("message-count", default=1),
        session_id=fields.optional_text("session-id"),
        now=floor.now(),
    )
    return {"messages": [{"message": encode_message(message)} for message in found]} if found else None


def _receive_deferred(floor: Floor, entity: str, fields: Fields) -> Map:
    deletes = fields.integer("receiver-settle-mode", default=1) == _RECEIVE_AND_DELETE
    found = floor.broker.receive_deferred(
        entity,
        fields.integers("sequence-numbers"),
        mode=ReceiveMode.RECEIVE_AND_DELETE if deletes else ReceiveMode.PEEK_LOCK,
        session_id=fields.optional_text("session-id"),
        now=floor.now(),
    )
    for message in found:
        floor.history.delivered(floor.now(), entity, message)
    return {"messages": [_handed_out(message) for message in found]}


def _handed_out(message: BrokeredMessage) -> Map:
    token: Map = {} if message.lock_token is None else {"lock-token": message.lock_token}
    return {"message": encode_message(message), **token}


def _update_disposition(floor: Floor, entity: str, fields: Fields) -> Map:
    settlement = _settlement(fields)
    for token in fields.uuids("lock-tokens"):
        floor.settle(entity, token, settlement)
    return {}


def _settlement(fields: Fields) -> Settlement:
    properties = fields.properties("properties-to-modify")
    match fields.text("disposition-status"):
        case "completed":
            return Complete()
        case "abandoned":
            return Abandon(properties=properties)
        case "defered":  # the service's own spelling
            return Defer(properties=properties)
        case "suspended":
            return DeadLetter(
                reason=fields.optional_text("deadletter-reason"),
                description=fields.optional_text("deadletter-description"),
                properties=properties,
            )
        case status:
            raise RequestError(f"disposition-status is completed, abandoned, defered or suspended, not {status!r}")


def _schedule(floor: Floor, entity: str, fields: Fields) -> Map:
    messages = [message for encoded in fields.messages() for message in read_messages(encoded, 0)]
    numbers = floor.broker.schedule(entity, messages, floor.now())
    floor.history.enqueued(floor.now(), entity, messages)
    return {"sequence-numbers": Array(_LONG, tuple(numbers))}


def _cancel_scheduled(floor: Floor, entity: str, fields: Fields) -> Map:
    floor.broker.cancel_scheduled(entity, fields.integers("sequence-numbers"), floor.now())
    return {}


def _session_state(floor: Floor, entity: str, fields: Fields) -> Map:
    return {"session-state": floor.broker.session_state(entity, fields.text("session-id"), floor.now())}


def _set_session_state(floor: Floor, entity: str, fields: Fields) -> Map:
    state = fields.optional_binary("session-state")
    floor.broker.set_session_state(entity, fields.text("session-id"), state, floor.now())
    return {}


_ANY_TIME_MS: Final = 253_402_300_799_000
"""From .NET's last second on, the operation asks for sessions with messages, whenever they were changed."""


def _list_sessions(floor: Floor, entity: str, fields: Fields) -> Map | None:
    updated_ms = fields.integer("last-updated-time", default=_ANY_TIME_MS)
    skip = fields.count("skip", default=0)
    found = floor.broker.list_sessions(
        entity,
        updated_after=None if updated_ms >= _ANY_TIME_MS else updated_ms / 1000,
        skip=skip,
        top=fields.count("top", default=100),
        now=floor.now(),
    )
    if not found:
        return None
    return {"skip": Int(skip + len(found)), "sessions-ids": Array(_STRING, tuple(found))}


_OPERATIONS: Final[dict[str, Callable[[Floor, str, Fields], Map | None]]] = {
    "renew-lock": _renew_lock,
    "renew-session-lock": _renew_session_lock,
    "peek-message": _peek,
    "receive-by-sequence-number": _receive_deferred,
    "update-disposition": _update_disposition,
    "schedule-message": _schedule,
    "cancel-scheduled-message": _cancel_scheduled,
    "get-session-state": _session_state,
    "set-session-state": _set_session_state,
    "get-message-sessions": _list_sessions,
}
