"""The broker's own history in the checker's words."""

from collections.abc import Iterable, Sequence
from typing import Final

from chaos import records
from chaos.records import DeadLetter, Event

from worker.emulator.amqp.message import read_data
from worker.emulator.broker import Abandon, BrokeredMessage, Complete, Message, Release, Settlement
from worker.emulator.broker import DeadLetter as DeadLettering
from worker.emulator.server import Delivered, Enqueued, Record, Settled

REQUESTS: Final = "flow-requests"
REPLIES: Final = "flow-replies"
DEAD_LETTERS: Final = f"{REQUESTS}/$DeadLetterQueue"


def events_of(history: Iterable[Record]) -> list[Event]:
    """Both queues have duplicate detection: an id that was there before is a repeat, which its queue drops."""
    seen: set[tuple[str, str | None]] = set()
    events: list[Event] = []
    for record in history:
        match record:
            case Enqueued(entity=entity) if entity in {REQUESTS, REPLIES}:
                key = (entity, record.message_id)
                is_repeat = key in seen
                seen.add(key)
                make = _requested if entity == REQUESTS else _replied
                events.append(make(record, is_repeat=is_repeat))
            case Delivered(entity=entity) if entity == REQUESTS:
                events.append(
                    records.Delivered(
                        at=record.at,
                        branch=record.message_id or "",
                        lock=str(record.lock_token),
                        count=record.delivery_count,
                        by=record.by,
                        sequence_number=record.sequence_number,
                    )
                )
            case Settled(entity=entity) if entity == REQUESTS:
                events.append(
                    records.Settled(
                        at=record.at,
                        branch=record.message_id or "",
                        lock=str(record.lock_token),
                        how=_how(record.settlement),
                        is_refused=record.refusal is not None,
                    )
                )
            case _:
                pass
    return events


def dead_letters_of(messages: Sequence[BrokeredMessage]) -> list[DeadLetter]:
    return [
        DeadLetter(
            branch=each.message.message_id or "",
            request_id=request_id_of(each.message),
            reason=str(each.added_properties.get("DeadLetterReason")),
            description=str(each.added_properties.get("DeadLetterErrorDescription")),
        )
        for each in messages
    ]


def request_id_of(message: Message) -> str:
    return str(message.application_properties.get("request-id") or message.message_id)


def _requested(record: Enqueued, *, is_repeat: bool) -> Event:
    properties = record.message.application_properties
    return records.Requested(
        at=record.at,
        branch=record.message_id or "",
        request_id=request_id_of(record.message),
        by=record.by,
        is_copy="request-id" in properties,
        is_redelivered=properties.get("redelivered") is True,
        is_repeat=is_repeat,
    )


def _replied(record: Enqueued, *, is_repeat: bool) -> Event:
    message = record.message
    return records.Replied(
        at=record.at,
        request_id=str(message.application_properties.get("request-id")),
        session=message.session_id,
        correlation_id=message.correlation_id,
        outcome=str(message.application_properties.get("outcome")),
        body=b"".join(read_data(message.payload)),
        by=record.by,
        is_repeat=is_repeat,
    )


def _how(settlement: Settlement) -> str:
    match settlement:
        case Complete():
            return "complete"
        case Abandon():
            return "abandon"
        case DeadLettering():
            return "dead_letter"
        case Release():
            return "release"
        case _:
            return "defer"
