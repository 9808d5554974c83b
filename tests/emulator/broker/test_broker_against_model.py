"""The broker does what its model does, whatever is done to both.

More examples: set FLOWBRIDGE_MODEL_EXAMPLES.
"""

import os
from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from worker.emulator.broker import (
    Abandon,
    Broker,
    BrokeredMessage,
    BrokerError,
    Complete,
    ConsumerId,
    DeadLetter,
    Defer,
    Delivered,
    Message,
    MessageCounts,
    MessageLockLostError,
    MessageNotFoundError,
    NamedSession,
    NextSession,
    OperationNotAllowedError,
    QueueProperties,
    ReceiveMode,
    Release,
    SessionAccepted,
    SessionAcceptTimedOut,
    SessionCannotBeLockedError,
    SessionLockLostError,
    SessionLost,
    Settlement,
    Topology,
)

from .model import (
    DEFAULT_TTL_S,
    ENTITIES,
    LOCK_S,
    MAX_DELIVERIES,
    QUEUES,
    WINDOW_S,
    Box,
    Happening,
    Letter,
    Model,
    Taker,
)

TOPOLOGY = Topology(
    queues=(
        QueueProperties(
            name="plain",
            lock_s=LOCK_S,
            max_delivery_count=MAX_DELIVERIES,
            default_ttl_s=DEFAULT_TTL_S,
            dead_letters_on_expiry=True,
            duplicate_window_s=WINDOW_S,
        ),
        QueueProperties(name="kept", lock_s=LOCK_S, max_delivery_count=MAX_DELIVERIES, requires_session=True),
    )
)


def listed(messages: Sequence[BrokeredMessage]) -> list[Happening]:
    return [
        (
            m.sequence_number,
            m.state,
            m.delivery_count,
            m.added_properties.get("DeadLetterReason"),
            m.lock_token,
            m.locked_until,
        )
        for m in messages
    ]


picks = st.integers(min_value=0, max_value=30)
modes = st.sampled_from([ReceiveMode.PEEK_LOCK, ReceiveMode.PEEK_LOCK, ReceiveMode.RECEIVE_AND_DELETE])
session_ids = st.sampled_from(["a", "b", "c"])
ttls_s = st.sampled_from([None, None, None, None, 0.0, 20.0, 35.0, 100.0])
delays_s = st.sampled_from([None, None, None, None, None, -5.0, 5.0, 20.0])
settlements = st.sampled_from(
    [Complete(), Abandon(), Abandon(), Defer(), Defer(), DeadLetter(reason="unfit"), Release()]
)


class BrokerAgainstModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.broker = Broker(TOPOLOGY, lock_token_salt=3)
        self.model = Model()
        self.tokens: list[tuple[str, UUID]] = []
        self.consumers: list[tuple[str, ConsumerId]] = []

    # what is done

    @rule(seconds=st.sampled_from([1.0, 5.0, 10.0, 20.0, 29.0, 30.0, 31.0]))
    def let_time_pass(self, seconds: float) -> None:
        self.now += seconds
        self.broker.advance(self.now)
        self.model.advance(self.now)
        self.compare_effects()

    @rule(
        queue=st.sampled_from(QUEUES),
        sent=st.lists(
            st.tuples(
                st.sampled_from([None, None, "x", "y"]),
                session_ids,
                ttls_s,
                delays_s,
            ),
            min_size=1,
            max_size=4,
        ),
    )
    def send(self, queue: str, sent: list[tuple[str | None, str, float | None, float | None]]) -> None:
        messages = [
            Message(
                payload=b"...",
                message_id=message_id,
                session_id=session_id,
                ttl_s=ttl_s,
                scheduled_for=None if delay_s is None else self.now + delay_s,
            )
            for message_id, session_id, ttl_s, delay_s in sent
        ]
        numbers = self.broker.schedule(queue, messages, self.now)
        assert numbers == [self.model.send(queue, message, self.now) for message in messages]
        self.compare_effects()

    @precondition(lambda self: any(self.model.scheduled.values()))
    @rule(queue=st.sampled_from(QUEUES), pick=picks)
    def cancel_scheduled(self, queue: str, pick: int) -> None:
        number = 1 + pick % (self.model.numbers[queue] + 1)
        scheduled = [letter for letter in self.model.scheduled[queue] if letter.number == number]
        refused = self.refusal_of(lambda: self.broker.cancel_scheduled(queue, [number], self.now))
        assert refused is (None if scheduled else MessageNotFoundError)
        self.model.scheduled[queue] = [letter for letter in self.model.scheduled[queue] if letter not in scheduled]

    @initialize()
    def start_with_a_consumer_each(self) -> None:
        """Else most examples never deliver anything."""
        for entity in ENTITIES:
            self.open_consumer(entity, ReceiveMode.PEEK_LOCK, "a" if entity == "kept" else None, 20)
            self.open_consumer(entity, ReceiveMode.PEEK_LOCK, "b" if entity == "kept" else None, 2)

    @rule(
        entity=st.sampled_from((*ENTITIES, *QUEUES)),
        mode=modes,
        session=st.one_of(st.none(), session_ids),
        credit=st.integers(0, 3),
    )
    def open_consumer(self, entity: str, mode: ReceiveMode, session: str | None, credit: int) -> None:
        box = self.model.boxes[entity]
        if not box.keeps_sessions:
            consumer = self.broker.open_consumer(entity, mode=mode, session=None, now=self.now)
            box.takers.append(Taker(consumer, mode))
        elif session is None:
            choice = NextSession(timeout_s=20)
            consumer = self.broker.open_consumer(entity, mode=mode, session=choice, now=self.now)
            taker = Taker(consumer, mode, patience=self.now + 20)
            box.takers.append(taker)
            box.waiting.append(taker)
            box.deliver(self.now)
        elif any(taker.session == session for taker in box.holds):
            named = NamedSession(session_id=session)
            opens = lambda: self.broker.open_consumer(entity, mode=mode, session=named, now=self.now)  # noqa: E731
            assert self.refusal_of(opens) is SessionCannotBeLockedError
            return
        else:
            named = NamedSession(session_id=session)
            consumer = self.broker.open_consumer(entity, mode=mode, session=named, now=self.now)
            taker = Taker(consumer, mode)
            box.takers.append(taker)
            box.hold(taker, session, self.now)
        self.consumers.append((entity, consumer))
        self.compare_effects()
        self.give_credit(len(self.consumers) - 1, credit, adds=True)

    @precondition(lambda self: self.consumers)
    @rule(pick=picks, credit=st.integers(0, 5), adds=st.booleans())
    def give_credit(self, pick: int, credit: int, adds: bool) -> None:
        box, taker = self.taker(pick)
        if adds:
            self.broker.add_credit(ConsumerId(taker.id), credit, self.now)
        else:
            self.broker.set_credit(ConsumerId(taker.id), credit, self.now)
        taker.credit = credit + (taker.credit if adds else 0)
        if not taker.credit and taker in box.turns:
            box.turns.remove(taker)
        elif taker.credit and taker not in box.turns:
            box.turns.append(taker)
        box.deliver(self.now)
        self.compare_effects()

    @precondition(lambda self: self.consumers)
    @rule(pick=picks)
    def close_consumer(self, pick: int) -> None:
        box, taker = self.taker(pick)
        self.consumers = [(entity, consumer) for entity, consumer in self.consumers if consumer != taker.id]
        self.broker.close_consumer(ConsumerId(taker.id), self.now)
        box.takers.remove(taker)
        if taker in box.turns:
            box.turns.remove(taker)
        if taker in box.waiting:
            box.waiting.remove(taker)
        if taker in box.holds:
            box.end(taker, self.now, failed=False)
        box.deliver(self.now)
        self.compare_effects()

    @precondition(lambda self: self.tokens)
    @rule(settled=st.lists(st.tuples(picks, settlements), min_size=1, max_size=6))
    def settle(self, settled: list[tuple[int, Settlement]]) -> None:
        for pick, settlement in settled:
            self.settle_one(pick, settlement)

    def settle_one(self, pick: int, settlement: Settlement) -> None:
        entity, box, letter, token = self.locked(pick)
        refused = self.refusal_of(lambda: self.broker.settle(entity, token, settlement, self.now))
        if letter is None:
            assert refused is (SessionLockLostError if box.keeps_sessions else MessageLockLostError)
            return
        if isinstance(settlement, DeadLetter) and box.dead is None:
            assert refused is OperationNotAllowedError
            return
        assert refused is None
        letter.token = None
        match settlement:
            case Complete():
                box.remove(letter)
            case Abandon():
                box.give_back(letter, self.now, failed=True)
            case Defer():
                letter.deferred = True
                box.give_back(letter, self.now, failed=False)
            case DeadLetter(reason=reason):
                box.bury(letter, reason, self.now)
            case Release():
                box.give_back(letter, self.now, failed=False)
        box.deliver(self.now)
        self.compare_effects()

    @precondition(lambda self: self.tokens)
    @rule(pick=picks, later_s=st.sampled_from([0.0, 5.0]))
    def renew_lock(self, pick: int, later_s: float) -> None:
        self.let_time_pass(later_s)
        entity, box, letter, token = self.locked(pick)
        renewed: list[float] = []
        refused = self.refusal_of(lambda: renewed.extend(self.broker.renew_locks(entity, [token], self.now)))
        if box.keeps_sessions:
            assert refused is OperationNotAllowedError
        elif letter is None:
            assert refused is MessageLockLostError
        else:
            letter.until = self.now + LOCK_S
            assert renewed == [letter.until]
            box.locks.remove(letter)
            box.locks.append(letter)

    @precondition(lambda self: any(m.deferred for box in self.model.boxes.values() for m in box.letters))
    @rule(
        entity=st.sampled_from(QUEUES), wanted=st.sets(picks, min_size=1, max_size=2), mode=modes, session=session_ids
    )
    def receive_deferred(self, entity: str, wanted: set[int], mode: ReceiveMode, session: str) -> None:
        box = self.model.boxes[entity]
        deferred = [letter.number for letter in box.letters if letter.status == "deferred"]
        numbers = sorted({deferred[pick % len(deferred)] if deferred and pick % 8 else pick for pick in wanted})
        received: list[BrokeredMessage] = []
        refused = self.refusal_of(
            lambda: received.extend(
                self.broker.receive_deferred(entity, numbers, mode=mode, session_id=session, now=self.now)
            )
        )
        if box.keeps_sessions and not any(taker.session == session for taker in box.holds):
            assert refused is SessionLockLostError
            return
        for letter in filter(None, map(box.deferred, numbers)):
            if letter.expires_at is not None and letter.expires_at <= self.now:
                box.expire(letter, self.now)
        letters = [
            m for m in map(box.deferred, numbers) if m and (not box.keeps_sessions or m.message.session_id == session)
        ]
        if len(letters) < len(numbers):
            assert refused is MessageNotFoundError
        else:
            assert [m.sequence_number for m in received] == numbers
            for letter, message in zip(letters, received, strict=True):
                box.lock(letter, mode, self.now)
                self.note_token(entity, letter, message)
        self.compare_effects()

    # sessions

    @rule(session=session_ids, later_s=st.sampled_from([0.0, 5.0]))
    def renew_session(self, session: str, later_s: float) -> None:
        self.let_time_pass(later_s)
        box = self.model.boxes["kept"]
        renewed: list[float] = []
        refused = self.refusal_of(lambda: renewed.append(self.broker.renew_session_lock("kept", session, self.now)))
        holder = next((taker for taker in box.holds if taker.session == session), None)
        if holder is None:
            assert refused is SessionLockLostError
        else:
            holder.until = self.now + LOCK_S
            assert renewed == [holder.until]
            box.holds.remove(holder)
            box.holds.append(holder)

    @precondition(lambda self: self.model.boxes["kept"].holds)
    @rule(session=session_ids, state=st.sampled_from([None, b"1", b"2"]))
    def set_session_state(self, session: str, state: bytes | None) -> None:
        box = self.model.boxes["kept"]
        refused = self.refusal_of(lambda: self.broker.set_session_state("kept", session, state, self.now))
        if not any(taker.session == session for taker in box.holds):
            assert refused is SessionLockLostError
            return
        box.states.pop(session, None)
        if state is not None:
            box.states[session] = state
        assert self.broker.session_state("kept", session, self.now) == state

    # what is seen

    @rule(
        entity=st.sampled_from(ENTITIES),
        start=picks,
        count=st.integers(1, 4),
        session=st.one_of(st.none(), session_ids),
    )
    def peek(self, entity: str, start: int, count: int, session: str | None) -> None:
        peeked = self.broker.peek(entity, from_sequence_number=start, count=count, session_id=session, now=self.now)
        letters = [*self.model.boxes[entity].letters, *self.model.scheduled.get(entity, ())]
        numbers = sorted(m.number for m in letters if m.number >= start and session in (None, m.message.session_id))
        assert [message.sequence_number for message in peeked] == numbers[:count]
        assert not any(message.lock_token for message in peeked)

    @invariant()
    def the_same_messages_are_in_the_same_states(self) -> None:
        for entity, box in self.model.boxes.items():
            assert listed(self.broker.messages(entity)) == self.model.listed(entity)
            statuses = [letter.status for letter in box.letters]
            assert self.broker.counts(entity) == MessageCounts(
                ready=statuses.count("ready"),
                locked=statuses.count("locked"),
                deferred=statuses.count("deferred"),
                scheduled=len(self.model.scheduled.get(entity, ())),
                dead_lettered=len(box.dead.letters) if box.dead else 0,
            )

    @invariant()
    def the_same_sessions_are_known(self) -> None:
        box = self.model.boxes["kept"]
        sessions = {m.message.session_id for m in box.letters if m.status != "deferred"}
        seen = self.broker.list_sessions("kept", updated_after=None, skip=0, top=9, now=self.now)
        assert seen == sorted(session for session in sessions if session)
        stateful = self.broker.list_sessions("kept", updated_after=0, skip=0, top=9, now=self.now)
        assert stateful == sorted(box.states)

    @invariant()
    def it_wakes_in_time(self) -> None:
        earliest = min(self.model.deadlines(), default=None)
        if earliest is not None:
            wake_at = self.broker.next_deadline()
            assert wake_at is not None
            assert wake_at <= earliest

    def compare_effects(self) -> None:
        """Each consumer saw what the model says, in that order."""
        seen: defaultdict[int, list[Happening]] = defaultdict(list)
        for effect in self.broker.take_effects():
            match effect:
                case Delivered(consumer=consumer, message=m):
                    reason = m.added_properties.get("DeadLetterReason")
                    seen[consumer].append(("delivered", m.sequence_number, m.delivery_count, reason))
                    entity = {number: entity for entity, number in self.consumers}[consumer]
                    letters = [
                        letter for letter in self.model.boxes[entity].letters if letter.number == m.sequence_number
                    ]
                    for letter in letters:
                        self.note_token(entity, letter, m)
                case SessionAccepted(consumer=consumer, session_id=session, locked_until=until):
                    seen[consumer].append(("accepted", session, until))
                case SessionAcceptTimedOut(consumer=consumer):
                    seen[consumer].append(("timed out",))
                case SessionLost(consumer=consumer, session_id=session):
                    seen[consumer].append(("lost", session))
        expected: defaultdict[int, list[Happening]] = defaultdict(list)
        for consumer, *happening in self.model.happenings:
            expected[consumer].append(tuple(happening))
        self.model.happenings.clear()
        assert seen == expected

    # small tools

    def note_token(self, entity: str, letter: Letter, message: BrokeredMessage) -> None:
        letter.token = message.lock_token
        if message.lock_token is not None:
            self.tokens.append((entity, message.lock_token))

    def taker(self, pick: int) -> tuple[Box, Taker]:
        entity, consumer = self.consumers[pick % len(self.consumers)]
        box = self.model.boxes[entity]
        return box, next(taker for taker in box.takers if taker.id == consumer)

    def locked(self, pick: int) -> tuple[str, Box, Letter | None, UUID]:
        """A token, and what it locks: mostly something, else it has lost its meaning."""
        live = [(entity, m.token) for entity, box in self.model.boxes.items() for m in box.locks if m.token]
        tokens = live if live and pick % 8 else self.tokens
        entity, token = tokens[pick % len(tokens)]
        box = self.model.boxes[entity]
        return entity, box, next((letter for letter in box.locks if letter.token == token), None), token

    @staticmethod
    def refusal_of(call: Any) -> type[BrokerError] | None:
        try:
            call()
        except BrokerError as refusal:
            return type(refusal)
        return None


BrokerAgainstModel.TestCase.settings = settings(
    max_examples=int(os.environ.get("FLOWBRIDGE_MODEL_EXAMPLES", "200")),
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestBrokerAgainstModel = BrokerAgainstModel.TestCase
