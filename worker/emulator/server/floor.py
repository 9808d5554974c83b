"""The broker in its surroundings: the time it is told, the consumers its effects go to, who waits for facts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol, assert_never
from uuid import UUID
from weakref import WeakKeyDictionary

from worker.emulator.broker import (
    Broker,
    BrokeredMessage,
    BrokerError,
    ConsumerId,
    Delivered,
    Effect,
    Message,
    SessionAccepted,
    SessionAcceptTimedOut,
    SessionLost,
    Settlement,
)
from worker.emulator.server.conditions import meaning_of
from worker.emulator.server.history import History


class Consumer(Protocol):
    """Where a consumer's effects go: a link."""

    def deliver(self, message: BrokeredMessage) -> None: ...
    def session_accepted(self, session_id: str, locked_until: float) -> None: ...
    def session_timed_out(self) -> None: ...
    def session_lost(self, session_id: str) -> None: ...


class Floor:
    """`act_on_effects` follows every call on the broker that may have effects."""

    def __init__(self, broker: Broker, *, keeps_history: bool) -> None:
        self.broker = broker
        self.history = History(is_kept=keeps_history)
        self.consumers: dict[ConsumerId, Consumer] = {}
        self.key_names: WeakKeyDictionary[object, str | None] = WeakKeyDictionary()
        """By connection: the shared access key that its last token was signed with."""
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self.watchers: list[Callable[[], None]] = []
        """Called after everything that may have changed a fact."""

    @property
    def actor(self) -> str | None:
        """The key's name of the client that is being heard."""
        return self.history.actor

    def key_name_of(self, connection: object) -> str | None:
        return self.key_names.get(connection)

    def now(self) -> float:
        return time.time()

    def messages(self, entity: str) -> list[BrokeredMessage]:
        return self.broker.messages(entity)

    def send(self, entity: str, messages: list[Message]) -> None:
        """Raises BrokerError."""
        now = self.now()
        self.broker.send(entity, messages, now)
        self.history.enqueued(now, entity, messages)

    def settle(self, entity: str, lock_token: UUID, settlement: Settlement) -> None:
        """Raises BrokerError."""
        now = self.now()
        try:
            self.broker.settle(entity, lock_token, settlement, now)
        except BrokerError as error:
            self.history.settled(now, entity, lock_token, settlement, refusal=meaning_of(error).condition)
            raise
        self.history.settled(now, entity, lock_token, settlement)

    def act_on_effects(self) -> None:
        while effects := self.broker.take_effects():
            for effect in effects:
                self._act_on(effect)
        deadline = self.broker.next_deadline()
        if deadline is not None and deadline < self._timer_at:
            self._arm(deadline)
        self.tell_watchers()

    def tell_watchers(self) -> None:
        for watcher in self.watchers:
            watcher()

    def _act_on(self, effect: Effect) -> None:
        consumer = self.consumers.get(effect.consumer)
        if consumer is None:
            return  # closed since, which undid the effect
        match effect:
            case Delivered():
                consumer.deliver(effect.message)
            case SessionAccepted():
                consumer.session_accepted(effect.session_id, effect.locked_until)
            case SessionAcceptTimedOut():
                consumer.session_timed_out()
            case SessionLost():
                consumer.session_lost(effect.session_id)
            case _:
                assert_never(effect)

    def _arm(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = deadline
        self._timer = asyncio.get_running_loop().call_later(max(0.0, deadline - self.now()), self._wake)

    def _wake(self) -> None:
        self._timer_at = float("inf")
        self.tell_time()

    def tell_time(self) -> None:
        self.broker.advance(self.now())
        self.act_on_effects()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
