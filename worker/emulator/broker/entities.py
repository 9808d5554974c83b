"""A topology's entities, made of an intake, a mailbox, or both."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Final

from worker.emulator.broker.effects import Effect
from worker.emulator.broker.errors import EntityNotFoundError, InvalidTopologyError
from worker.emulator.broker.facts import EntityFacts, EntityKind
from worker.emulator.broker.intake import Intake, IntakeRules, Route
from worker.emulator.broker.mailbox import Mailbox, MailboxRules
from worker.emulator.broker.tokens import LockTokens
from worker.emulator.broker.topology import (
    ALL_MESSAGES,
    QueueProperties,
    SubscriptionProperties,
    TopicProperties,
    Topology,
)

DEAD_LETTER_QUEUE: Final = "$DeadLetterQueue"
SUBSCRIPTIONS: Final = "Subscriptions"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Entity:
    facts: EntityFacts
    intake: Intake | None = None
    mailbox: Mailbox | None = None
    touches: tuple[Mailbox | Intake, ...]
    """All that a call on this entity may change, in the order in which their deadlines are seen to:
    what dead letters go to before where they come from, and mailboxes before what fills them."""


class Entities:
    """Found by path, in any letter case."""

    def __init__(self, topology: Topology, tokens: LockTokens, effects: list[Effect]) -> None:
        """Raises InvalidTopologyError for a path taken twice."""
        self._tokens = tokens
        self._effects = effects
        self._by_path: dict[str, Entity] = {}
        for queue in topology.queues:
            self._add_queue(queue)
        for topic in topology.topics:
            self._add_topic(topic)

    def at(self, path: str) -> Entity:
        """Raises EntityNotFoundError."""
        entity = self._by_path.get(path) or self._by_path.get(path.strip("/").lower())
        if entity is None:
            known = ", ".join(sorted(entity.facts.path for entity in self)) or "none"
            raise EntityNotFoundError(f"no entity is at {path!r}; there are: {known}")
        return entity

    def __iter__(self) -> Iterator[Entity]:
        """In the topology's order, a dead-letter queue and a subscription before what they belong to."""
        return iter(self._by_path.values())

    def _add(self, entity: Entity) -> None:
        self._check_free(entity.facts.path, entity.facts.kind)
        self._by_path[entity.facts.path.lower()] = entity

    def _check_free(self, path: str, kind: EntityKind) -> None:
        other = self._by_path.get(path.lower())
        if other is not None:
            is_same_kind = other.facts.kind is kind
            what = f"{kind.value} {path!r} is named twice" if is_same_kind else f"two entities are at {path!r}"
            raise InvalidTopologyError(f"{what} (letter case doesn't count)")

    def _add_queue(self, queue: QueueProperties) -> None:
        self._check_free(queue.name, EntityKind.QUEUE)
        mailbox, dead_letters = self._mailboxes(queue.name, queue, queue.max_message_bytes)
        rules = IntakeRules(
            requires_session=queue.requires_session,
            max_message_bytes=queue.max_message_bytes,
            max_size_bytes=queue.max_size_bytes,
            duplicate_window_s=queue.duplicate_window_s,
        )
        route = Route(mailbox=mailbox, filters=(ALL_MESSAGES,), ttl_s=queue.default_ttl_s, sequence_numbers=None)
        intake = Intake(queue.name, rules, (route,))
        facts = EntityFacts(
            path=queue.name,
            kind=EntityKind.QUEUE,
            requires_session=queue.requires_session,
            max_message_bytes=queue.max_message_bytes,
        )
        self._add(Entity(facts=facts, intake=intake, mailbox=mailbox, touches=(dead_letters, mailbox, intake)))

    def _add_topic(self, topic: TopicProperties) -> None:
        self._check_free(topic.name, EntityKind.TOPIC)
        routes: list[Route] = []
        touches: list[Mailbox | Intake] = []
        for subscription in topic.subscriptions:
            path = f"{topic.name}/{SUBSCRIPTIONS}/{subscription.name}"
            self._check_free(path, EntityKind.SUBSCRIPTION)
            mailbox, dead_letters = self._mailboxes(path, subscription, topic.max_message_bytes)
            facts = EntityFacts(
                path=path,
                kind=EntityKind.SUBSCRIPTION,
                requires_session=subscription.requires_session,
                max_message_bytes=topic.max_message_bytes,
            )
            self._add(Entity(facts=facts, mailbox=mailbox, touches=(dead_letters, mailbox)))
            touches += (dead_letters, mailbox)
            routes.append(
                Route(
                    mailbox=mailbox,
                    filters=tuple(rule.filter for rule in subscription.rules),
                    ttl_s=_shorter(topic.default_ttl_s, subscription.default_ttl_s),
                    sequence_numbers=count(1),
                )
            )
        rules = IntakeRules(
            requires_session=False,
            max_message_bytes=topic.max_message_bytes,
            max_size_bytes=topic.max_size_bytes,
            duplicate_window_s=topic.duplicate_window_s,
        )
        intake = Intake(topic.name, rules, routes)
        facts = EntityFacts(
            path=topic.name,
            kind=EntityKind.TOPIC,
            requires_session=False,
            max_message_bytes=topic.max_message_bytes,
        )
        self._add(Entity(facts=facts, intake=intake, touches=(*touches, intake)))

    def _mailboxes(
        self, path: str, properties: QueueProperties | SubscriptionProperties, max_message_bytes: int
    ) -> tuple[Mailbox, Mailbox]:
        """A mailbox and its dead letters', the latter already an entity."""
        dead_letter_path = f"{path}/{DEAD_LETTER_QUEUE}"
        dead_letters = Mailbox(
            dead_letter_path,
            MailboxRules(
                lock_s=properties.lock_s,
                max_delivery_count=properties.max_delivery_count,
                dead_letters_on_expiry=False,
                requires_session=False,
            ),
            dead_letters=None,
            tokens=self._tokens,
            effects=self._effects,
        )
        facts = EntityFacts(
            path=dead_letter_path,
            kind=EntityKind.DEAD_LETTER_QUEUE,
            requires_session=False,
            max_message_bytes=max_message_bytes,
        )
        self._add(Entity(facts=facts, mailbox=dead_letters, touches=(dead_letters,)))
        mailbox = Mailbox(
            path,
            MailboxRules(
                lock_s=properties.lock_s,
                max_delivery_count=properties.max_delivery_count,
                dead_letters_on_expiry=properties.dead_letters_on_expiry,
                requires_session=properties.requires_session,
            ),
            dead_letters=dead_letters,
            tokens=self._tokens,
            effects=self._effects,
        )
        return mailbox, dead_letters


def _shorter(one_s: float | None, other_s: float | None) -> float | None:
    return min((ttl_s for ttl_s in (one_s, other_s) if ttl_s is not None), default=None)
