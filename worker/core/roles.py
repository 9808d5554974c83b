"""Least privilege: who needs which right on which entity of the namespace."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias


class Right(StrEnum):
    RECEIVE = "receive"
    SEND = "send"


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """One of Azure's own. `key_right`: what a shared access policy calls the same."""

    name: str
    definition_id: str
    key_right: str


ROLES: Final[dict[Right, Role]] = {
    Right.RECEIVE: Role(
        name="Azure Service Bus Data Receiver",
        definition_id="4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0",
        key_right="Listen",
    ),
    Right.SEND: Role(
        name="Azure Service Bus Data Sender",
        definition_id="69a216fc-b8fb-44d8-bc22-1f3c2cd27a39",
        key_right="Send",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    name: str

    @property
    def path(self) -> str:
        return f"queues/{self.name}"

    def __str__(self) -> str:
        return f"queue '{self.name}'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    name: str

    @property
    def path(self) -> str:
        return f"topics/{self.name}"

    def __str__(self) -> str:
        return f"topic '{self.name}'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    topic: str
    name: str

    @property
    def path(self) -> str:
        return f"topics/{self.topic}/subscriptions/{self.name}"

    def __str__(self) -> str:
        return f"subscription '{self.name}' of topic '{self.topic}'"


Entity: TypeAlias = Queue | Topic | Subscription  # `path`: below the namespace, as Azure's resource ids have it


@dataclass(frozen=True, slots=True, kw_only=True)
class Entities:
    """All that one bridge uses. `sources`: where the worker receives, `target`: where callers send.

    `copies`: where the worker sends requests that are to be tried later, None where it makes no copies.
    """

    sources: tuple[Queue | Subscription, ...]
    target: Queue | Topic
    copies: Queue | None
    replies: tuple[Queue, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """`why`: a clause about the entity."""

    right: Right
    entity: Entity
    why: str

    @property
    def role(self) -> Role:
        return ROLES[self.right]


def entities_of(
    *,
    request_queue: str,
    request_topic: str | None,
    request_subscription: str | None,
    retry_queue: str | None,
    copies_to: str | None,
    reply_queues: tuple[str, ...],
) -> Entities:
    """`copies_to`: the queue that copies go to, None where none are made."""
    replies = tuple(Queue(name=name) for name in reply_queues)
    copies = None if copies_to is None else Queue(name=copies_to)
    if request_topic is None:
        requests = Queue(name=request_queue)
        return Entities(sources=(requests,), target=requests, copies=copies, replies=replies)
    subscription = Subscription(topic=request_topic, name=request_subscription or "")
    retries = () if retry_queue is None else (Queue(name=retry_queue),)
    return Entities(sources=(subscription, *retries), target=Topic(name=request_topic), copies=copies, replies=replies)


def needs_of_worker(entities: Entities) -> tuple[Need, ...]:
    """One after the other by entity, each entity's rights together."""
    receives: dict[Entity, Need] = {
        source: Need(right=Right.RECEIVE, entity=source, why="requests are received there")
        for source in entities.sources
    }
    sends: dict[Entity, Need] = {
        queue: Need(right=Right.SEND, entity=queue, why="answers go there") for queue in entities.replies
    }
    if entities.copies is not None:
        why = "requests that wait for another try, a slot or an answer go there as copies"
        sends = {entities.copies: Need(right=Right.SEND, entity=entities.copies, why=why), **sends}
    used: dict[Entity, None] = dict.fromkeys((*receives, *sends))
    return tuple(each[entity] for entity in used for each in (receives, sends) if entity in each)


def needs_of_callers(entities: Entities) -> tuple[Need, ...]:
    """Of a requester, and of whatever else asks for others. Of reply queues each needs only its own."""
    return (
        Need(right=Right.SEND, entity=entities.target, why="requests go there"),
        *(
            Need(right=Right.RECEIVE, entity=queue, why="its answers are in its own session there")
            for queue in entities.replies
        ),
    )
