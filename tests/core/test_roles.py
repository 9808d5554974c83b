from collections.abc import Mapping
from typing import Any

from worker.core.roles import ROLES, Entities, Need, Right, entities_of, needs_of_callers, needs_of_worker

QUEUE: Mapping[str, Any] = {
    "request_queue": "requests",
    "request_topic": None,
    "request_subscription": None,
    "retry_queue": None,
    "copies_to": "requests",
    "reply_queues": ("replies", "more-replies"),
}
TOPIC: Mapping[str, Any] = {
    **QUEUE,
    "request_topic": "events",
    "request_subscription": "worker",
    "retry_queue": "retries",
    "copies_to": "retries",
    "reply_queues": ("replies",),
}


def entities(of: Mapping[str, Any], **changed: Any) -> Entities:
    return entities_of(**{**of, **changed})


def told(needs: tuple[Need, ...]) -> list[tuple[str, str]]:
    return [(need.right.value, need.entity.path) for need in needs]


def test_a_worker_receives_requests_and_sends_copies_and_answers() -> None:
    assert told(needs_of_worker(entities(QUEUE))) == [
        ("receive", "queues/requests"),
        ("send", "queues/requests"),
        ("send", "queues/replies"),
        ("send", "queues/more-replies"),
    ]


def test_a_worker_that_makes_no_copies_sends_answers_alone() -> None:
    ordered = needs_of_worker(entities(QUEUE, copies_to=None))
    assert told(ordered) == [
        ("receive", "queues/requests"),
        ("send", "queues/replies"),
        ("send", "queues/more-replies"),
    ]


def test_with_a_topic_the_worker_has_its_subscription_and_the_retry_queue_and_never_the_topic() -> None:
    assert told(needs_of_worker(entities(TOPIC))) == [
        ("receive", "topics/events/subscriptions/worker"),
        ("receive", "queues/retries"),
        ("send", "queues/retries"),
        ("send", "queues/replies"),
    ]


def test_callers_send_requests_and_receive_answers() -> None:
    assert told(needs_of_callers(entities(TOPIC))) == [("send", "topics/events"), ("receive", "queues/replies")]
    assert told(needs_of_callers(entities(QUEUE, reply_queues=()))) == [("send", "queues/requests")]


def test_nobody_needs_more_than_to_receive_and_to_send() -> None:
    assert {right: role.key_right for right, role in ROLES.items()} == {Right.RECEIVE: "Listen", Right.SEND: "Send"}
