"""Sessions: accepting, order, loss, closing, state; in virtual time."""

from typing import Any
from uuid import UUID

import pytest

from worker.emulator.broker import (
    Abandon,
    Broker,
    BrokeredMessage,
    Complete,
    ConsumerId,
    Defer,
    Delivered,
    Effect,
    Message,
    MessageCounts,
    MessageNotFoundError,
    NamedSession,
    NextSession,
    OperationNotAllowedError,
    QueueProperties,
    ReceiveMode,
    SessionAccepted,
    SessionAcceptTimedOut,
    SessionCannotBeLockedError,
    SessionLockLostError,
    SessionLost,
    Topology,
)

T = 1_000_000.0
LOCK_S = 30.0


@pytest.fixture
def broker() -> Broker:
    replies = QueueProperties(name="replies", lock_s=LOCK_S, max_delivery_count=3, requires_session=True)
    return Broker(Topology(queues=(replies, QueueProperties(name="plain"))), lock_token_salt=1)


def send(broker: Broker, session_id: str, *payloads: bytes, at: float = T, **properties: Any) -> None:
    broker.send("replies", [Message(payload=p, session_id=session_id, **properties) for p in payloads], at)


def accept(
    broker: Broker, session_id: str, at: float = T, *, credit: int = 100, mode: ReceiveMode = ReceiveMode.PEEK_LOCK
) -> ConsumerId:
    consumer = broker.open_consumer("replies", mode=mode, session=NamedSession(session_id=session_id), now=at)
    broker.set_credit(consumer, credit, at)
    return consumer


def accept_next(broker: Broker, at: float = T, *, timeout_s: float = 10) -> ConsumerId:
    session = NextSession(timeout_s=timeout_s)
    return broker.open_consumer("replies", mode=ReceiveMode.PEEK_LOCK, session=session, now=at)


def delivered(effects: list[Effect]) -> list[BrokeredMessage]:
    return [effect.message for effect in effects if isinstance(effect, Delivered)]


def payloads(effects: list[Effect]) -> list[bytes]:
    return [received.message.payload for received in delivered(effects)]


def token(received: BrokeredMessage) -> UUID:
    assert received.lock_token is not None
    return received.lock_token


# accepting


def test_a_named_session_is_accepted_at_once_even_when_empty(broker: Broker) -> None:
    consumer = accept(broker, "a")
    assert broker.take_effects() == [SessionAccepted(consumer=consumer, session_id="a", locked_until=T + LOCK_S)]
    send(broker, "a", b"1")
    send(broker, "b", b"2")
    assert payloads(broker.take_effects()) == [b"1"]


def test_a_session_has_one_holder(broker: Broker) -> None:
    accept(broker, "a")
    with pytest.raises(SessionCannotBeLockedError, match="session 'a' is held by another consumer"):
        accept(broker, "a")


def test_the_next_session_is_the_one_free_for_longest(broker: Broker) -> None:
    send(broker, "b", b"1")
    send(broker, "a", b"2")
    for session_id in ("b", "a"):
        consumer = accept_next(broker)
        assert broker.take_effects() == [
            SessionAccepted(consumer=consumer, session_id=session_id, locked_until=T + LOCK_S)
        ]


def test_whoever_waits_longest_gets_the_session_that_comes_free(broker: Broker) -> None:
    first, second = accept_next(broker), accept_next(broker)
    send(broker, "a", b"1", at=T + 5)
    assert broker.take_effects() == [SessionAccepted(consumer=first, session_id="a", locked_until=T + 5 + LOCK_S)]
    broker.close_consumer(first, T + 6)
    assert broker.take_effects() == [SessionAccepted(consumer=second, session_id="a", locked_until=T + 6 + LOCK_S)]


def test_waiting_for_a_session_times_out(broker: Broker) -> None:
    consumer = accept_next(broker, timeout_s=10)
    assert broker.next_deadline() == T + 10
    broker.advance(T + 9.9)
    assert broker.take_effects() == []
    broker.advance(T + 10)
    assert broker.take_effects() == [SessionAcceptTimedOut(consumer=consumer)]
    send(broker, "a", b"1", at=T + 11)
    assert broker.take_effects() == []


def test_a_consumer_closed_while_waiting_is_not_granted_anything(broker: Broker) -> None:
    broker.close_consumer(accept_next(broker), T)
    send(broker, "a", b"1")
    broker.advance(T + 10)
    assert broker.take_effects() == []


def test_a_session_with_only_deferred_messages_is_not_next(broker: Broker) -> None:
    send(broker, "a", b"1")
    consumer = accept(broker, "a")
    (received,) = delivered(broker.take_effects())
    broker.settle("replies", token(received), Defer(), T)
    broker.close_consumer(consumer, T)
    accept_next(broker)
    assert broker.take_effects() == []


def test_sessions_and_plain_receivers_do_not_mix(broker: Broker) -> None:
    with pytest.raises(OperationNotAllowedError, match="keeps sessions"):
        broker.open_consumer("replies", mode=ReceiveMode.PEEK_LOCK, session=None, now=T)
    with pytest.raises(OperationNotAllowedError, match="keeps no sessions"):
        broker.open_consumer("plain", mode=ReceiveMode.PEEK_LOCK, session=NamedSession(session_id="a"), now=T)
    with pytest.raises(OperationNotAllowedError, match="keeps no sessions"):
        broker.list_sessions("plain", updated_after=None, skip=0, top=1, now=T)


@pytest.mark.parametrize("session_id", [None, ""])
def test_a_message_without_a_session_id_is_refused(broker: Broker, session_id: str | None) -> None:
    with pytest.raises(OperationNotAllowedError, match="without a session id"):
        broker.send("replies", [Message(payload=b"", session_id=session_id)], T)


# order


def test_a_session_keeps_its_order_when_a_message_is_abandoned(broker: Broker) -> None:
    send(broker, "a", b"1", b"2", b"3")
    consumer = accept(broker, "a", credit=1)
    (received,) = delivered(broker.take_effects())
    broker.settle("replies", token(received), Abandon(), T)
    broker.set_credit(consumer, 3, T)
    again = delivered(broker.take_effects())
    assert [(m.message.payload, m.delivery_count) for m in again] == [(b"1", 1), (b"2", 0), (b"3", 0)]


def test_messages_of_a_session_can_be_received_and_deleted(broker: Broker) -> None:
    send(broker, "a", b"1", b"2")
    accept(broker, "a", mode=ReceiveMode.RECEIVE_AND_DELETE)
    assert payloads(broker.take_effects()) == [b"1", b"2"]
    assert broker.counts("replies") == MessageCounts()


# losing and giving up


def test_an_expired_session_lock_loses_the_session_and_counts_its_locked_messages(broker: Broker) -> None:
    send(broker, "a", b"1", b"2")
    consumer = accept(broker, "a", credit=1)
    (received,) = delivered(broker.take_effects())
    broker.advance(T + LOCK_S)
    assert broker.take_effects() == [SessionLost(consumer=consumer, session_id="a")]
    with pytest.raises(SessionLockLostError):
        broker.settle("replies", token(received), Complete(), T + LOCK_S)
    broker.set_credit(consumer, 9, T + LOCK_S)
    assert broker.take_effects() == []
    accept(broker, "a", T + LOCK_S)
    again = delivered(broker.take_effects())
    assert [(m.message.payload, m.delivery_count) for m in again] == [(b"1", 1), (b"2", 0)]


def test_a_lost_session_goes_to_whoever_waits(broker: Broker) -> None:
    send(broker, "a", b"1")
    loser = accept(broker, "a")
    winner = accept_next(broker, timeout_s=60)
    broker.take_effects()
    broker.advance(T + LOCK_S)
    assert broker.take_effects() == [
        SessionLost(consumer=loser, session_id="a"),
        SessionAccepted(consumer=winner, session_id="a", locked_until=T + 2 * LOCK_S),
    ]


def test_a_closed_session_returns_its_locked_messages_uncounted(broker: Broker) -> None:
    send(broker, "a", b"1", b"2")
    broker.close_consumer(accept(broker, "a"), T)
    broker.take_effects()
    assert broker.counts("replies") == MessageCounts(ready=2)
    accept(broker, "a")
    assert [m.delivery_count for m in delivered(broker.take_effects())] == [0, 0]


def test_renewing_a_session_keeps_it_and_its_messages(broker: Broker) -> None:
    send(broker, "a", b"1")
    accept(broker, "a")
    (received,) = delivered(broker.take_effects())
    assert broker.renew_session_lock("replies", "a", T + 20) == T + 20 + LOCK_S
    assert [m.locked_until for m in broker.messages("replies")] == [T + 20 + LOCK_S]
    broker.settle("replies", token(received), Complete(), T + 20 + LOCK_S - 0.1)
    assert broker.counts("replies") == MessageCounts()


def test_locks_of_single_messages_cannot_be_renewed_in_a_session(broker: Broker) -> None:
    send(broker, "a", b"1")
    accept(broker, "a")
    (received,) = delivered(broker.take_effects())
    with pytest.raises(OperationNotAllowedError, match="renew the session's lock"):
        broker.renew_locks("replies", [token(received)], T)


def test_a_session_that_is_not_locked_cannot_be_renewed(broker: Broker) -> None:
    with pytest.raises(SessionLockLostError):
        broker.renew_session_lock("replies", "a", T)


# deferral and peek


def test_a_deferred_message_is_received_under_its_own_sessions_lock_only(broker: Broker) -> None:
    send(broker, "a", b"1")
    accept(broker, "a")
    (received,) = delivered(broker.take_effects())
    broker.settle("replies", token(received), Defer(), T)
    numbers = [received.sequence_number]
    mode = ReceiveMode.PEEK_LOCK
    with pytest.raises(SessionLockLostError):
        broker.receive_deferred("replies", numbers, mode=mode, session_id="b", now=T)
    accept(broker, "b")
    with pytest.raises(MessageNotFoundError):
        broker.receive_deferred("replies", numbers, mode=mode, session_id="b", now=T)
    (fetched,) = broker.receive_deferred("replies", numbers, mode=mode, session_id="a", now=T)
    broker.settle("replies", token(fetched), Complete(), T)
    assert broker.counts("replies") == MessageCounts()


def test_one_session_can_be_peeked_alone(broker: Broker) -> None:
    send(broker, "a", b"1")
    send(broker, "b", b"2")
    send(broker, "a", b"3")
    send(broker, "a", b"4", scheduled_for=T + 10)
    peeked = broker.peek("replies", from_sequence_number=0, count=9, session_id="a", now=T)
    assert [m.message.payload for m in peeked] == [b"1", b"3", b"4"]


def test_the_dead_letters_of_a_queue_with_sessions_need_no_session(broker: Broker) -> None:
    send(broker, "a", b"1")
    for start in (T, T + LOCK_S, T + 2 * LOCK_S):
        accept(broker, "a", start)
    broker.advance(T + 3 * LOCK_S)
    broker.take_effects()
    dead = broker.open_consumer(
        "replies/$deadletterqueue", mode=ReceiveMode.PEEK_LOCK, session=None, now=T + 3 * LOCK_S
    )
    broker.set_credit(dead, 1, T + 3 * LOCK_S)
    (received,) = delivered(broker.take_effects())
    assert received.message.session_id == "a"
    assert received.added_properties["DeadLetterReason"] == "MaxDeliveryCountExceeded"


# state and lists


def test_session_state_outlives_holder_and_messages_until_it_is_cleared(broker: Broker) -> None:
    consumer = accept(broker, "a")
    assert broker.session_state("replies", "a", T) is None
    broker.set_session_state("replies", "a", b"half way", T)
    broker.close_consumer(consumer, T)
    accept(broker, "a", T + 1)
    assert broker.session_state("replies", "a", T + 1) == b"half way"
    broker.set_session_state("replies", "a", None, T + 1)
    assert broker.session_state("replies", "a", T + 1) is None


def test_session_state_needs_the_sessions_lock(broker: Broker) -> None:
    with pytest.raises(SessionLockLostError):
        broker.session_state("replies", "a", T)
    with pytest.raises(SessionLockLostError):
        broker.set_session_state("replies", "a", b"", T)


def test_sessions_are_listed_by_messages_or_by_state_set_since(broker: Broker) -> None:
    for session_id in ("c", "a", "b"):
        send(broker, session_id, b"")
    accept(broker, "z")
    accept(broker, "y")
    broker.set_session_state("replies", "y", b"1", T + 1)
    broker.set_session_state("replies", "z", b"1", T + 2)

    def listed(updated_after: float | None, skip: int = 0, top: int = 9) -> list[str]:
        return broker.list_sessions("replies", updated_after=updated_after, skip=skip, top=top, now=T + 2)

    assert listed(None) == ["a", "b", "c"]
    assert listed(None, skip=1, top=1) == ["b"]
    assert listed(T) == ["y", "z"]
    assert listed(T + 1) == ["z"]


def test_nothing_is_remembered_of_sessions_and_consumers_that_are_over(broker: Broker) -> None:
    for number in range(50):
        send(broker, f"s{number}", b"")
        consumer = accept(broker, f"s{number}")
        (received,) = delivered(broker.take_effects())
        broker.settle("replies", token(received), Complete(), T)
        if number % 2:
            broker.close_consumer(consumer, T)
    for _ in range(50):
        accept_next(broker)
    broker.advance(T + LOCK_S)
    mailbox = broker._entities.at("replies").mailbox
    assert mailbox is not None
    assert (mailbox.sessions._sessions, mailbox._consumers, broker._receives_from) == ({}, {}, {})
