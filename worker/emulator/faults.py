"""Faults on request: what a test wants to go wrong, from now on or right away.

A planned fault waits for its occasion (an attach, a send, a settlement) and is used up after `times`; None is for ever.
An entity's name is its path, letter case aside. `key_name`: only what clients do who signed with this access key.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Protocol
from uuid import UUID

from worker.emulator.amqp.errors import DETACH_FORCED
from worker.emulator.amqp.performatives import Error
from worker.emulator.broker import Abandon, BrokeredMessage, Settlement

SERVER_BUSY: Final = "com.microsoft:server-busy"


class LiveConnection(Protocol):
    """A client's connection, as far as faults reach into it."""

    def has_link_on(self, entity: str) -> bool: ...
    def cut(self, *, resets: bool) -> None: ...
    def fall_silent(self) -> None: ...
    def speak_again(self) -> None: ...
    def detach_links_on(self, entity: str, error: Error) -> int: ...
    def lose_session(self, entity: str, session_id: str) -> bool: ...


class Listener(Protocol):
    def stop_listening(self) -> None: ...
    async def listen(self) -> None: ...


class Holdings(Protocol):
    """Messages that the broker has."""

    @property
    def actor(self) -> str | None: ...
    def key_name_of(self, connection: object) -> str | None: ...
    def messages(self, entity: str) -> Collection[BrokeredMessage]: ...
    def settle(self, entity: str, lock_token: UUID, settlement: Settlement) -> None: ...
    def act_on_effects(self) -> None: ...


class Occasion(Enum):
    TOKEN = auto()
    ATTACH = auto()
    SEND = auto()
    MANAGEMENT = auto()
    CUT_AFTER_SEND = auto()
    CUT_AFTER_DISPOSITION = auto()
    DISPOSITION_DROPPED = auto()
    DISPOSITION_DELAYED = auto()
    ANSWER_DROPPED = auto()
    CUT_AFTER_RENEWAL = auto()


@dataclass(slots=True, kw_only=True)
class _Planned:
    occasion: Occasion
    entity: str
    times_left: int | None
    key_name: str | None
    error: Error | None = None
    delay_s: float = 0.0


class Faults:
    def __init__(self, connections: Collection[LiveConnection], listener: Listener, holdings: Holdings) -> None:
        self._connections = connections
        self._listener = listener
        self._holdings = holdings
        self._planned: list[_Planned] = []
        self.listeners: list[Callable[[Occasion, str, str | None], None]] = []
        """Told of every occasion, its entity and the client's key name; what one plans then, counts already."""

    # right away

    def cut_connections(self, *, entity: str | None = None, key_name: str | None = None, resets: bool = True) -> int:
        """By RST, or by FIN; all, or those with a link on the entity. Answers with how many."""
        hit = self._connections_on(entity, key_name)
        for connection in hit:
            connection.cut(resets=resets)
        return len(hit)

    def silence_connections(self, *, entity: str | None = None, key_name: str | None = None) -> int:
        """Nothing is read or written any more, while TCP stays open. New connections are not silent."""
        hit = self._connections_on(entity, key_name)
        for connection in hit:
            connection.fall_silent()
        return len(hit)

    def end_silence(self) -> None:
        for connection in self._connections_on(None):
            connection.speak_again()

    def refuse_connections(self) -> None:
        """The port is closed to new connections; those there are stay."""
        self._listener.stop_listening()

    async def admit_connections(self) -> None:
        """On the same port as before."""
        await self._listener.listen()

    def detach_links(
        self,
        entity: str,
        *,
        condition: str = DETACH_FORCED,
        description: str = "on request",
        key_name: str | None = None,
    ) -> int:
        """Answers with how many links there were."""
        error = Error(condition, description)
        return sum(connection.detach_links_on(entity, error) for connection in self._connections_on(entity, key_name))

    def lose_locks(self, entity: str, *, message_id: str | None = None) -> int:
        """As if they had expired: the messages come again, and settling the lost delivery fails. Answers with how many.

        All of the entity's locked messages, or those with this message id.
        """
        held = [
            message.lock_token
            for message in self._holdings.messages(entity)
            if message.lock_token is not None and message_id in {None, message.message.message_id}
        ]
        for lock_token in held:
            self._holdings.settle(entity, lock_token, Abandon())
        self._holdings.act_on_effects()
        return len(held)

    def lose_session_lock(self, entity: str, session_id: str) -> bool:
        """Its holder's link is detached and its messages go back. False when nobody held it."""
        lost = any(connection.lose_session(entity, session_id) for connection in self._connections_on(entity))
        self._holdings.act_on_effects()
        return lost

    def _connections_on(self, entity: str | None, key_name: str | None = None) -> list[LiveConnection]:
        return [
            each
            for each in self._connections
            if (entity is None or each.has_link_on(entity))
            and (key_name is None or self._holdings.key_name_of(each) == key_name)
        ]

    # planned

    def refuse_attaches(
        self,
        entity: str,
        *,
        condition: str = SERVER_BUSY,
        description: str = "on request",
        times: int | None = None,
        key_name: str | None = None,
    ) -> None:
        self._plan(Occasion.ATTACH, entity, times, key_name=key_name, error=Error(condition, description))

    def refuse_sends(
        self,
        entity: str,
        *,
        condition: str = SERVER_BUSY,
        description: str = "on request",
        times: int | None = None,
        key_name: str | None = None,
    ) -> None:
        self._plan(Occasion.SEND, entity, times, key_name=key_name, error=Error(condition, description))

    def refuse_management(self, entity: str, *, times: int | None = None, key_name: str | None = None) -> None:
        """Requests such as a lock's renewal are answered that the broker is busy."""
        self._plan(Occasion.MANAGEMENT, entity, times, key_name=key_name)

    def refuse_tokens(self, *, times: int | None = None) -> None:
        self._plan(Occasion.TOKEN, "", times)

    def cut_after_sends(self, entity: str, *, times: int | None = None, key_name: str | None = None) -> None:
        """Messages are taken, but their sender's connection is cut before it hears so."""
        self._plan(Occasion.CUT_AFTER_SEND, entity, times, key_name=key_name)

    def cut_after_dispositions(self, entity: str, *, times: int | None = None, key_name: str | None = None) -> None:
        """Settlements are done, but the client's connection is cut before it hears so."""
        self._plan(Occasion.CUT_AFTER_DISPOSITION, entity, times, key_name=key_name)

    def drop_dispositions(self, entity: str, *, times: int | None = None, key_name: str | None = None) -> None:
        """The client's settlement is lost on its way: neither done nor answered."""
        self._plan(Occasion.DISPOSITION_DROPPED, entity, times, key_name=key_name)

    def drop_answers(self, entity: str, *, times: int | None = None, key_name: str | None = None) -> None:
        """The client's settlement is done, but it never hears so."""
        self._plan(Occasion.ANSWER_DROPPED, entity, times, key_name=key_name)

    def delay_dispositions(
        self, entity: str, *, delay_s: float, times: int | None = None, key_name: str | None = None
    ) -> None:
        self._plan(Occasion.DISPOSITION_DELAYED, entity, times, key_name=key_name, delay_s=delay_s)

    def cut_after_renewals(self, entity: str, *, times: int | None = None, key_name: str | None = None) -> None:
        """Locks are renewed, but the client's connection is cut before it hears so."""
        self._plan(Occasion.CUT_AFTER_RENEWAL, entity, times, key_name=key_name)

    def clear(self) -> None:
        """Forget what is planned."""
        self._planned.clear()

    def _plan(
        self,
        occasion: Occasion,
        entity: str,
        times: int | None,
        *,
        key_name: str | None = None,
        error: Error | None = None,
        delay_s: float = 0.0,
    ) -> None:
        self._planned.append(
            _Planned(
                occasion=occasion,
                entity=entity.casefold(),
                times_left=times,
                key_name=key_name,
                error=error,
                delay_s=delay_s,
            )
        )

    # asked by the server on each occasion

    def refusal_of_attach(self, entity: str) -> Error | None:
        planned = self._due(Occasion.ATTACH, entity)
        return planned.error if planned is not None else None

    def refusal_of_send(self, entity: str) -> Error | None:
        planned = self._due(Occasion.SEND, entity)
        return planned.error if planned is not None else None

    def refuses_management(self, entity: str) -> bool:
        return self._due(Occasion.MANAGEMENT, entity) is not None

    def refuses_token(self) -> bool:
        return self._due(Occasion.TOKEN, "") is not None

    def cuts_after_send(self, entity: str) -> bool:
        return self._due(Occasion.CUT_AFTER_SEND, entity) is not None

    def cuts_after_disposition(self, entity: str) -> bool:
        return self._due(Occasion.CUT_AFTER_DISPOSITION, entity) is not None

    def drops_disposition(self, entity: str) -> bool:
        return self._due(Occasion.DISPOSITION_DROPPED, entity) is not None

    def drops_answer(self, entity: str) -> bool:
        return self._due(Occasion.ANSWER_DROPPED, entity) is not None

    def cuts_after_renewal(self, entity: str) -> bool:
        return self._due(Occasion.CUT_AFTER_RENEWAL, entity) is not None

    def disposition_delay_s(self, entity: str) -> float:
        planned = self._due(Occasion.DISPOSITION_DELAYED, entity)
        return planned.delay_s if planned is not None else 0.0

    def _due(self, occasion: Occasion, entity: str) -> _Planned | None:
        for listener in self.listeners:
            listener(occasion, entity, self._holdings.actor)
        if not self._planned:
            return None
        folded = entity.casefold()
        for planned in self._planned:
            is_meant = planned.key_name in {None, self._holdings.actor}
            if planned.occasion is occasion and planned.entity == folded and is_meant:
                if planned.times_left is not None:
                    planned.times_left -= 1
                    if planned.times_left == 0:
                        self._planned.remove(planned)
                return planned
        return None
