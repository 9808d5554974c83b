"""Queues: locks, settlements, dead letters, expiry, schedules, deferral, duplicates; in virtual time."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from worker.emulator.broker import (
    Abandon,
    Broker,
    BrokeredMessage,
    Complete,
    DeadLetter,
    Defer,
    Delivered,
    EntityNotFoundError,
    InvalidTopologyError,
    Message,
    MessageCounts,
    MessageLockLostError,
    MessageNotFoundError,
    MessageSizeExceededError,
    MessageState,
    OperationNotAllowedError,
    QueueProperties,
    QuotaExceededError,
    ReceiveMode,
    Release,
    Topology,
)

T = 1_000_000.0
LOCK_S = 30.0
DEAD = "orders/$DeadLetterQueue"


def orders(**properties: Any) -> Broker:
    queue = QueueProperties(name="orders", lock_s=LOCK_S, **properties)
    return Broker(Topology(queues=(queue,)), lock_token_salt=1)


def send(broker: Broker, *payloads: bytes, at: float = T, **properties: Any) -> list[int]:
    return broker.schedule("orders", [Message(payload=payload, **properties) for payload in payloads], at)


def receive(
    broker: Broker,
    at: float = T,
    *,
    count: int = 100,
    entity: str = "orders",
    mode: ReceiveMode = ReceiveMode.PEEK_LOCK,
) -> list[BrokeredMessage]:
    """What is there now, through a consumer of its own."""
    consumer = broker.open_consumer(entity, mode=mode, session=None, now=at)
    broker.set_credit(consumer, count, at)
    broker.close_consumer(consumer, at)
    return [effect.message for effect in broker.take_effects() if isinstance(effect, Delivered)]


def payloads(messages: Sequence[BrokeredMessage]) -> list[bytes]:
    return [received.message.payload for received in messages]


def token(received: BrokeredMessage) -> UUID:
    assert received.lock_token is not None
    return received.lock_token


# entities


def test_paths_are_found_in_any_letter_case() -> None:
    broker = orders()
    assert broker.facts("ORDERS/$deadletterqueue").path == DEAD
    assert [facts.path for facts in broker.entities()] == ["orders"]


def test_an_unknown_path_is_refused_with_the_known_ones() -> None:
    with pytest.raises(EntityNotFoundError, match=r"no entity is at 'invoices'.*orders"):
        orders().send("invoices", [Message(payload=b"")], T)


def test_nothing_can_be_sent_to_a_dead_letter_queue() -> None:
    with pytest.raises(OperationNotAllowedError, match="dead-letter queue: nothing can be sent"):
        orders().send(DEAD, [Message(payload=b"")], T)


def test_two_queues_cannot_share_a_name() -> None:
    queues = (QueueProperties(name="orders"), QueueProperties(name="Orders"))
    with pytest.raises(InvalidTopologyError, match=r"queue 'Orders' is named twice \(letter case doesn't count\)"):
        Broker(Topology(queues=queues), lock_token_salt=1)


@pytest.mark.parametrize("properties", [{"lock_s": 0}, {"max_delivery_count": 0}])
def test_properties_that_cannot_work_are_refused(properties: dict[str, Any]) -> None:
    with pytest.raises(InvalidTopologyError, match=next(iter(properties))):
        QueueProperties(name="orders", **properties)


# order and competing consumers


def test_messages_come_in_the_order_they_were_sent() -> None:
    broker = orders()
    send(broker, b"1", b"2")
    send(broker, b"3")
    received = receive(broker)
    assert payloads(received) == [b"1", b"2", b"3"]
    assert [m.sequence_number for m in received] == [1, 2, 3]
    assert {m.delivery_count for m in received} == {0}
    assert {m.locked_until for m in received} == {T + LOCK_S}


def test_a_waiting_consumer_gets_a_message_as_it_is_sent() -> None:
    broker = orders()
    consumer = broker.open_consumer("orders", mode=ReceiveMode.PEEK_LOCK, session=None, now=T)
    broker.set_credit(consumer, 1, T)
    send(broker, b"1", b"2")
    (delivered,) = broker.take_effects()
    assert isinstance(delivered, Delivered)
    assert delivered.consumer == consumer
    assert delivered.message.message.payload == b"1"
    assert broker.counts("orders") == MessageCounts(ready=1, locked=1)


def test_consumers_with_credit_take_turns() -> None:
    broker = orders()
    consumers = [broker.open_consumer("orders", mode=ReceiveMode.PEEK_LOCK, session=None, now=T) for _ in range(3)]
    for consumer, credit in zip(consumers, (2, 1, 9), strict=True):
        broker.set_credit(consumer, credit, T)
    send(broker, *[b""] * 6)
    order = [effect.consumer for effect in broker.take_effects() if isinstance(effect, Delivered)]
    first, second, third = consumers
    assert order == [first, second, third, first, third, third]


def test_credit_can_be_added_replaced_and_taken_away() -> None:
    broker = orders()
    consumer = broker.open_consumer("orders", mode=ReceiveMode.PEEK_LOCK, session=None, now=T)
    broker.set_credit(consumer, 5, T)
    broker.set_credit(consumer, 0, T)
    broker.add_credit(consumer, 1, T)
    broker.add_credit(consumer, 1, T)
    send(broker, b"1", b"2", b"3")
    assert len(broker.take_effects()) == 2


def test_a_closed_consumer_gets_nothing_and_what_it_holds_stays_locked() -> None:
    broker = orders()
    consumer = broker.open_consumer("orders", mode=ReceiveMode.PEEK_LOCK, session=None, now=T)
    broker.set_credit(consumer, 2, T)
    send(broker, b"1")
    broker.close_consumer(consumer, T)
    send(broker, b"2")
    broker.set_credit(consumer, 2, T)
    (delivered,) = broker.take_effects()
    assert isinstance(delivered, Delivered)
    assert broker.counts("orders") == MessageCounts(ready=1, locked=1)
    broker.settle("orders", token(delivered.message), Complete(), T)
    assert payloads(broker.messages("orders")) == [b"2"]


def test_receive_and_delete_leaves_nothing_behind() -> None:
    broker = orders()
    send(broker, b"1")
    (received,) = receive(broker, mode=ReceiveMode.RECEIVE_AND_DELETE)
    assert received.lock_token is None
    assert broker.counts("orders") == MessageCounts()


# settling


def test_a_completed_message_is_gone_and_cannot_be_completed_again() -> None:
    broker = orders()
    send(broker, b"1")
    (received,) = receive(broker)
    broker.settle("orders", token(received), Complete(), T)
    assert broker.counts("orders") == MessageCounts()
    with pytest.raises(MessageLockLostError):
        broker.settle("orders", token(received), Complete(), T)


def test_an_abandoned_message_comes_again_in_its_place_with_the_properties_it_was_given() -> None:
    broker = orders()
    send(broker, b"1", b"2")
    (received,) = receive(broker, count=1)
    broker.settle("orders", token(received), Abandon(properties={"why": "busy"}), T)
    again, _ = receive(broker)
    assert (again.message.payload, again.delivery_count, again.added_properties) == (b"1", 1, {"why": "busy"})
    assert again.lock_token != received.lock_token


def test_a_released_message_comes_again_in_its_place_as_if_never_delivered() -> None:
    broker = orders(max_delivery_count=1)
    send(broker, b"1", b"2")
    (received,) = receive(broker, count=1)
    broker.settle("orders", token(received), Release(), T)
    assert [(m.message.payload, m.delivery_count) for m in receive(broker)] == [(b"1", 0), (b"2", 0)]


def test_a_message_abandoned_too_often_is_dead_lettered() -> None:
    broker = orders(max_delivery_count=2)
    send(broker, b"1")
    for _ in range(2):
        (received,) = receive(broker)
        broker.settle("orders", token(received), Abandon(), T)
    assert receive(broker) == []
    (dead,) = receive(broker, entity=DEAD)
    assert dead.delivery_count == 2
    assert dead.added_properties["DeadLetterReason"] == "MaxDeliveryCountExceeded"
    assert dead.dead_letter_source == "orders"


def test_a_dead_lettered_message_keeps_number_reason_and_description() -> None:
    broker = orders()
    send(broker, b"1", b"2")
    _, received = receive(broker)
    settlement = DeadLetter(reason="unfit", description="no body", properties={"hint": 7})
    broker.settle("orders", token(received), settlement, T)
    (dead,) = receive(broker, entity=DEAD)
    assert dead.sequence_number == 2
    assert dead.added_properties == {
        "DeadLetterReason": "unfit",
        "DeadLetterErrorDescription": "no body",
        "hint": 7,
    }
    assert broker.counts("orders") == MessageCounts(locked=1, dead_lettered=1)


def test_a_dead_letter_can_be_settled_but_not_dead_lettered_again() -> None:
    broker = orders(max_delivery_count=1)
    send(broker, b"1")
    broker.settle("orders", token(receive(broker)[0]), DeadLetter(), T)
    for _ in range(3):
        (dead,) = receive(broker, entity=DEAD)
        broker.settle(DEAD, token(dead), Abandon(), T)
    (dead,) = receive(broker, entity=DEAD)
    assert dead.delivery_count == 3
    with pytest.raises(OperationNotAllowedError, match="is a dead-letter queue"):
        broker.settle(DEAD, token(dead), DeadLetter(), T)
    broker.settle(DEAD, token(dead), Complete(), T)
    assert broker.counts("orders") == MessageCounts()


# locks


def test_a_lock_that_expired_cannot_be_completed() -> None:
    broker = orders()
    send(broker, b"1")
    (received,) = receive(broker)
    with pytest.raises(MessageLockLostError):
        broker.settle("orders", token(received), Complete(), T + LOCK_S)


def test_a_message_whose_lock_expired_comes_again_with_a_higher_delivery_count() -> None:
    broker = orders()
    send(broker, b"1")
    receive(broker)
    assert broker.next_deadline() == T + LOCK_S
    assert receive(broker, T + LOCK_S - 0.1) == []
    assert [m.delivery_count for m in receive(broker, T + LOCK_S)] == [1]


def test_expired_locks_too_end_in_the_dead_letter_queue() -> None:
    broker = orders(max_delivery_count=1)
    send(broker, b"1")
    receive(broker)
    broker.advance(T + LOCK_S)
    (dead,) = broker.messages(DEAD)
    assert dead.added_properties["DeadLetterReason"] == "MaxDeliveryCountExceeded"


def test_a_renewed_lock_lasts_longer() -> None:
    broker = orders()
    send(broker, b"1", b"2")
    kept, lost = receive(broker)
    assert broker.renew_locks("orders", [token(kept)], T + 20) == [T + 20 + LOCK_S]
    broker.settle("orders", token(kept), Complete(), T + 20 + LOCK_S - 0.1)
    with pytest.raises(MessageLockLostError):
        broker.renew_locks("orders", [token(lost)], T + 20 + LOCK_S)


def test_locks_are_renewed_all_or_none() -> None:
    broker = orders()
    send(broker, b"1")
    (received,) = receive(broker)
    with pytest.raises(MessageLockLostError):
        broker.renew_locks("orders", [token(received), UUID(int=9)], T + 20)
    assert [m.locked_until for m in broker.messages("orders")] == [T + LOCK_S]


def test_lock_tokens_of_one_broker_mean_nothing_to_the_next() -> None:
    first, second = (
        Broker(Topology(queues=(QueueProperties(name="orders"),)), lock_token_salt=salt) for salt in (1, 2)
    )
    for broker in (first, second):
        send(broker, b"1")
    (received,) = receive(first)
    receive(second)
    with pytest.raises(MessageLockLostError):
        second.settle("orders", token(received), Complete(), T)


def test_time_never_runs_back() -> None:
    broker = orders()
    broker.advance(T)
    send(broker, b"1", at=T - 100, ttl_s=50)
    assert [m.enqueued_at for m in receive(broker)] == [T]


# time to live


def test_an_expired_message_is_dropped() -> None:
    broker = orders()
    send(broker, b"1", ttl_s=10)
    assert broker.next_deadline() == T + 10
    assert receive(broker, T + 10) == []
    assert broker.counts("orders") == MessageCounts()


def test_an_expired_message_is_dead_lettered_where_the_queue_says_so() -> None:
    broker = orders(dead_letters_on_expiry=True)
    send(broker, b"1", ttl_s=10)
    (dead,) = receive(broker, T + 10, entity=DEAD)
    assert dead.added_properties["DeadLetterReason"] == "TTLExpiredException"
    assert dead.expires_at is None


@pytest.mark.parametrize(
    ("own_s", "default_s", "lives_s"), [(10, None, 10), (None, 20, 20), (10, 20, 10), (30, 20, 20)]
)
def test_the_shorter_time_to_live_counts(own_s: float | None, default_s: float | None, lives_s: float) -> None:
    broker = orders(default_ttl_s=default_s)
    send(broker, b"1", ttl_s=own_s)
    assert [m.expires_at for m in broker.messages("orders")] == [T + lives_s]


def test_nothing_expires_in_a_dead_letter_queue() -> None:
    broker = orders(default_ttl_s=10, dead_letters_on_expiry=True)
    send(broker, b"1")
    broker.advance(T + 10)
    assert len(receive(broker, T + 10_000, entity=DEAD)) == 1


def test_a_locked_message_expires_only_once_it_is_back() -> None:
    broker = orders(dead_letters_on_expiry=True)
    send(broker, b"1", b"2", ttl_s=10)
    completed, abandoned = receive(broker)
    broker.settle("orders", token(completed), Complete(), T + 20)
    assert broker.counts("orders") == MessageCounts(locked=1)
    broker.settle("orders", token(abandoned), Abandon(), T + 20)
    assert broker.counts("orders") == MessageCounts(dead_lettered=1)


# schedules


def test_a_scheduled_message_waits_and_then_counts_as_enqueued_then() -> None:
    broker = orders()
    (scheduled,) = send(broker, b"later", scheduled_for=T + 10, ttl_s=5)
    send(broker, b"now")
    assert payloads(receive(broker)) == [b"now"]
    assert broker.next_deadline() == T + 10
    (received,) = receive(broker, T + 12)
    assert (received.enqueued_at, received.expires_at) == (T + 10, T + 15)
    assert received.sequence_number > scheduled
    assert received.state is MessageState.ACTIVE


def test_a_message_scheduled_for_the_past_is_there_at_once() -> None:
    broker = orders()
    send(broker, b"1", scheduled_for=T - 1)
    assert payloads(receive(broker)) == [b"1"]


def test_a_cancelled_message_never_comes() -> None:
    broker = orders()
    numbers = send(broker, b"1", b"2", scheduled_for=T + 10)
    broker.cancel_scheduled("orders", numbers[:1], T + 5)
    assert payloads(receive(broker, T + 10)) == [b"2"]


def test_cancelling_is_all_or_none_and_too_late_once_enqueued() -> None:
    broker = orders()
    numbers = send(broker, b"1", scheduled_for=T + 10)
    with pytest.raises(MessageNotFoundError, match="no scheduled message 99"):
        broker.cancel_scheduled("orders", [*numbers, 99], T)
    assert broker.counts("orders").scheduled == 1
    with pytest.raises(MessageNotFoundError):
        broker.cancel_scheduled("orders", numbers, T + 10)


# deferral


def deferred(broker: Broker, at: float = T) -> BrokeredMessage:
    (received,) = receive(broker, at)
    broker.settle("orders", token(received), Defer(properties={"stage": 2}), at)
    return received


def fetch(broker: Broker, *numbers: int, at: float = T, mode: ReceiveMode = ReceiveMode.PEEK_LOCK) -> BrokeredMessage:
    (received,) = broker.receive_deferred("orders", numbers, mode=mode, session_id=None, now=at)
    return received


def test_a_deferred_message_comes_only_by_its_number() -> None:
    broker = orders()
    send(broker, b"1")
    number = deferred(broker).sequence_number
    assert receive(broker) == []
    received = fetch(broker, number)
    assert received.state is MessageState.DEFERRED
    assert received.added_properties == {"stage": 2}
    assert received.delivery_count == 0
    broker.settle("orders", token(received), Complete(), T)
    assert broker.counts("orders") == MessageCounts()


def test_an_abandoned_or_lost_deferred_message_stays_deferred_and_counts() -> None:
    broker = orders()
    send(broker, b"1")
    number = deferred(broker).sequence_number
    broker.settle("orders", token(fetch(broker, number)), Abandon(), T)
    fetch(broker, number)
    broker.advance(T + LOCK_S)
    assert broker.counts("orders") == MessageCounts(deferred=1)
    assert fetch(broker, number, at=T + LOCK_S).delivery_count == 2


def test_deferred_messages_are_received_all_or_none() -> None:
    broker = orders()
    send(broker, b"1")
    number = deferred(broker).sequence_number
    with pytest.raises(MessageNotFoundError, match="no deferred message 99"):
        fetch(broker, number, 99)
    assert broker.counts("orders") == MessageCounts(deferred=1)


def test_a_deferred_message_can_be_received_and_deleted() -> None:
    broker = orders()
    send(broker, b"1")
    number = deferred(broker).sequence_number
    assert fetch(broker, number, mode=ReceiveMode.RECEIVE_AND_DELETE).lock_token is None
    assert broker.counts("orders") == MessageCounts()


def test_a_locked_deferred_message_cannot_be_received_twice() -> None:
    broker = orders()
    send(broker, b"1")
    number = deferred(broker).sequence_number
    fetch(broker, number)
    with pytest.raises(MessageNotFoundError):
        fetch(broker, number)


def test_a_deferred_message_expires_when_it_is_asked_for() -> None:
    broker = orders(dead_letters_on_expiry=True)
    send(broker, b"1", ttl_s=10)
    number = deferred(broker).sequence_number
    broker.advance(T + 100)
    assert broker.counts("orders") == MessageCounts(deferred=1)
    with pytest.raises(MessageNotFoundError):
        fetch(broker, number, at=T + 100)
    assert broker.counts("orders") == MessageCounts(dead_lettered=1)


# peek


def test_peek_shows_every_state_in_order_and_changes_nothing() -> None:
    broker = orders()
    send(broker, b"deferred")
    deferred(broker)
    send(broker, b"scheduled", scheduled_for=T + 10)
    send(broker, b"locked")
    receive(broker)
    send(broker, b"ready")
    before = broker.counts("orders")
    peeked = broker.peek("orders", from_sequence_number=0, count=10, session_id=None, now=T)
    assert payloads(peeked) == [b"deferred", b"scheduled", b"locked", b"ready"]
    assert [m.state for m in peeked] == [
        MessageState.DEFERRED,
        MessageState.SCHEDULED,
        MessageState.ACTIVE,
        MessageState.ACTIVE,
    ]
    assert not any(m.lock_token for m in peeked)
    assert broker.counts("orders") == before
    assert payloads(broker.peek("orders", from_sequence_number=2, count=2, session_id=None, now=T)) == [
        b"scheduled",
        b"locked",
    ]


# duplicates, sizes, quotas


def test_a_duplicate_is_taken_and_dropped_within_the_window() -> None:
    broker = orders(duplicate_window_s=60)
    first = send(broker, b"1", message_id="a")
    assert send(broker, b"2", at=T + 59, message_id="a") == first
    send(broker, b"3", at=T + 60, message_id="a")
    assert payloads(receive(broker, T + 60)) == [b"1", b"3"]


def test_a_duplicate_is_dropped_even_after_the_first_was_completed_and_within_one_batch() -> None:
    broker = orders(duplicate_window_s=60)
    send(broker, b"1", b"2", message_id="a")
    (received,) = receive(broker)
    broker.settle("orders", token(received), Complete(), T)
    send(broker, b"3", message_id="a")
    assert broker.counts("orders") == MessageCounts()


def test_without_a_window_or_an_id_nothing_is_a_duplicate() -> None:
    plain, watched = orders(), orders(duplicate_window_s=60)
    send(plain, b"1", b"2", message_id="a")
    send(watched, b"1", b"2")
    assert plain.counts("orders").ready == watched.counts("orders").ready == 2


def test_a_batch_with_one_message_too_large_is_refused_as_a_whole() -> None:
    broker = orders(max_message_bytes=4)
    with pytest.raises(MessageSizeExceededError, match=r"a message of 5 bytes.*takes 4 bytes"):
        send(broker, b"1234", b"12345")
    assert broker.counts("orders") == MessageCounts()


def test_a_full_queue_refuses_until_something_is_completed() -> None:
    broker = orders(max_size_bytes=6)
    send(broker, b"12")
    send(broker, b"34", scheduled_for=T + 100)
    (received,) = receive(broker)
    broker.settle("orders", token(received), DeadLetter(), T)
    with pytest.raises(QuotaExceededError, match="would hold 7 bytes and may hold 6"):
        send(broker, b"567")
    (dead,) = receive(broker, entity=DEAD)
    broker.settle(DEAD, token(dead), Complete(), T)
    send(broker, b"567")


def test_a_partition_key_must_be_the_session_id() -> None:
    with pytest.raises(OperationNotAllowedError, match="partition key 'p' differs from session id 's'"):
        send(orders(), b"", session_id="s", partition_key="p")


# nothing due, nothing done


def test_a_broker_with_nothing_to_come_has_no_deadline() -> None:
    broker = orders()
    assert broker.next_deadline() is None
    send(broker, b"1")
    (received,) = receive(broker)
    broker.settle("orders", token(received), Complete(), T)
    broker.advance(T + LOCK_S)
    assert broker.next_deadline() is None
    assert broker.take_effects() == []
