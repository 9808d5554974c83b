"""Topics and what their subscriptions let in."""

from collections.abc import Mapping
from typing import Any

import pytest

from worker.emulator.broker import (
    Broker,
    CorrelationFilter,
    Delivered,
    EntityKind,
    Filter,
    InvalidFilterError,
    Message,
    MessageCounts,
    OperationNotAllowedError,
    PropertyValue,
    QuotaExceededError,
    ReceiveMode,
    RuleProperties,
    SubscriptionProperties,
    TopicProperties,
    Topology,
    TrueFilter,
    parse_sql,
)

T = 1_000_000.0


def news(*subscriptions: SubscriptionProperties, **properties: Any) -> Broker:
    topic = TopicProperties(name="news", subscriptions=subscriptions, **properties)
    return Broker(Topology(topics=(topic,)), lock_token_salt=1)


def subscription(name: str, *filters: Filter, **properties: Any) -> SubscriptionProperties:
    rules = tuple(RuleProperties(name=f"rule{number}", filter=one) for number, one in enumerate(filters))
    return SubscriptionProperties(name=name, rules=rules, **properties)


def ready(broker: Broker, name: str) -> list[bytes]:
    return [m.message.payload for m in broker.messages(f"news/Subscriptions/{name}")]


# topics


def test_each_subscription_gets_a_copy_with_a_number_of_its_own() -> None:
    broker = news(subscription("all", TrueFilter()), subscription("late", CorrelationFilter(subject="late")))
    broker.send("news", [Message(payload=b"1"), Message(payload=b"2", subject="late")], T)
    assert ready(broker, "all") == [b"1", b"2"]
    (late,) = broker.messages("news/subscriptions/LATE")
    assert (late.sequence_number, late.enqueued_sequence_number) == (1, 2)


def test_a_copy_is_settled_apart_from_the_others() -> None:
    broker = news(subscription("a", TrueFilter()), subscription("b", TrueFilter()))
    broker.send("news", [Message(payload=b"1")], T)
    consumer = broker.open_consumer("news/Subscriptions/a", mode=ReceiveMode.RECEIVE_AND_DELETE, session=None, now=T)
    broker.set_credit(consumer, 1, T)
    assert [type(effect) for effect in broker.take_effects()] == [Delivered]
    assert (ready(broker, "a"), ready(broker, "b")) == ([], [b"1"])


def test_a_subscription_takes_everything_unless_told_otherwise() -> None:
    broker = news(SubscriptionProperties(name="all"))
    broker.send("news", [Message(payload=b"1")], T)
    assert ready(broker, "all") == [b"1"]


def test_several_matching_rules_make_one_copy_and_none_makes_none() -> None:
    broker = news(subscription("twice", TrueFilter(), parse_sql("1=1")), subscription("none"))
    broker.send("news", [Message(payload=b"1")], T)
    assert (ready(broker, "twice"), ready(broker, "none")) == ([b"1"], [])


def test_a_scheduled_message_reaches_subscriptions_when_it_is_due() -> None:
    broker = news(subscription("all", TrueFilter()))
    kept, cancelled = broker.schedule("news", [Message(payload=b"1", scheduled_for=T + 10)] * 2, T)
    assert broker.counts("news") == MessageCounts(scheduled=2)
    broker.cancel_scheduled("news", [cancelled], T)
    broker.advance(T + 10)
    (copy,) = broker.messages("news/Subscriptions/all")
    assert copy.enqueued_sequence_number > kept
    assert copy.enqueued_at == T + 10


@pytest.mark.parametrize(("topic_s", "subscription_s", "lives_s"), [(10, None, 10), (None, 20, 20), (30, 20, 20)])
def test_the_shorter_time_to_live_of_topic_and_subscription_counts(
    topic_s: float | None, subscription_s: float | None, lives_s: float
) -> None:
    broker = news(subscription("all", TrueFilter(), default_ttl_s=subscription_s), default_ttl_s=topic_s)
    broker.send("news", [Message(payload=b"1", ttl_s=100)], T)
    (copy,) = broker.messages("news/Subscriptions/all")
    assert copy.expires_at == T + lives_s


def test_duplicates_are_dropped_by_the_topic() -> None:
    broker = news(subscription("all", TrueFilter()), duplicate_window_s=60)
    broker.send("news", [Message(payload=b"1", message_id="a"), Message(payload=b"2", message_id="a")], T)
    assert ready(broker, "all") == [b"1"]


def test_a_topic_is_as_full_as_its_subscriptions_are_together() -> None:
    broker = news(subscription("a", TrueFilter()), subscription("b", TrueFilter()), max_size_bytes=5)
    broker.send("news", [Message(payload=b"12")], T)
    with pytest.raises(QuotaExceededError, match="would hold 6 bytes"):
        broker.send("news", [Message(payload=b"34")], T)


def test_a_subscription_with_sessions_dead_letters_what_has_none() -> None:
    broker = news(subscription("ordered", TrueFilter(), requires_session=True))
    broker.send("news", [Message(payload=b"1"), Message(payload=b"2", session_id="a")], T)
    assert ready(broker, "ordered") == [b"2"]
    (dead,) = broker.messages("news/Subscriptions/ordered/$DeadLetterQueue")
    assert dead.added_properties["DeadLetterReason"] == "Session ID is null."


def test_a_topic_is_only_sent_to_and_a_subscription_only_received_from() -> None:
    broker = news(subscription("all", TrueFilter()))
    assert [facts.kind for facts in broker.entities()] == [EntityKind.SUBSCRIPTION, EntityKind.TOPIC]
    with pytest.raises(OperationNotAllowedError, match="receive from a subscription"):
        broker.open_consumer("news", mode=ReceiveMode.PEEK_LOCK, session=None, now=T)
    with pytest.raises(OperationNotAllowedError, match="nothing can be sent"):
        broker.send("news/Subscriptions/all", [Message(payload=b"")], T)


# filters

MESSAGE = Message(
    payload=b"",
    message_id="m",
    session_id="s",
    correlation_id="c",
    subject="order",
    to="there",
    reply_to="here",
    reply_to_session_id="r",
    content_type="text/plain",
    application_properties={"color": "red", "size": 3, "weight": 1.5, "hot": True, "name": "O'Neil", "gone": None},
)


@pytest.mark.parametrize(
    ("properties", "matches"),
    [
        ({}, True),
        ({"correlation_id": "c", "subject": "order"}, True),
        ({"correlation_id": "c", "subject": "invoice"}, False),
        ({"message_id": "m", "session_id": "s", "to": "there", "reply_to": "here"}, True),
        ({"reply_to_session_id": "r", "content_type": "text/plain"}, True),
        ({"application_properties": {"color": "red", "size": 3}}, True),
        ({"application_properties": {"color": "blue"}}, False),
        ({"application_properties": {"shape": "round"}}, False),
        ({"application_properties": {"hot": 1}}, False),
    ],
)
def test_a_correlation_filter_wants_every_property_equal(properties: Mapping[str, Any], matches: bool) -> None:
    assert CorrelationFilter(**properties).matches(MESSAGE) is matches


@pytest.mark.parametrize(
    ("expression", "matches"),
    [
        ("1=1", True),
        ("1 = 0", False),
        ("color = 'red'", True),
        ("Color = 'red'", False),
        ("user.color = 'red'", True),
        ("color <> 'red'", False),
        ("color != 'blue' and size = 3", True),
        ("size = 3.0 AND weight = 1.5 AND size = +3", True),
        ("size = -3", False),
        ("hot = TRUE", True),
        ("hot = 1", False),
        ("hot <> false", True),
        ("name = 'O''Neil'", True),
        ("shape = 'round'", False),
        ("shape <> 'round'", False),
        ("shape IS NULL AND gone is null", True),
        ("color IS NOT NULL", True),
        ("color IS NULL", False),
        ("'red' = color", True),
        ("sys.Label = 'order' AND sys.subject = 'order'", True),
        ("sys.CorrelationId = 'c' AND sys.MessageId = 'm' AND sys.SessionId = 's'", True),
        ("sys.To = 'there' AND sys.ReplyTo = 'here' AND sys.ReplyToSessionId = 'r'", True),
        ("sys.ContentType = 'application/json'", False),
    ],
)
def test_an_sql_filter_says(expression: str, matches: bool) -> None:
    assert parse_sql(expression).matches(MESSAGE) is matches


@pytest.mark.parametrize(
    ("expression", "at"),
    [
        ("", "its end"),
        ("color", "its end"),
        ("color = ", "its end"),
        ("color = 'red' OR size = 3", "OR"),
        ("color LIKE 'r%'", "LIKE"),
        ("color IN ('red')", r"\('red'\)"),
        ("NOT color = 'red'", "NOT"),
        ("size > 3", "> 3"),
        ("color = 'red", "'red"),
        ("sys.EnqueuedTimeUtc = 1", "sys.EnqueuedTimeUtc"),
        ("a.b = 1", "a.b"),
        ("color IS 'red'", "'red'"),
        ("color = 'red' size = 3", "size"),
        ("size = 3x", "3x"),
    ],
)
def test_an_sql_filter_that_cannot_be_evaluated_is_refused_where_it_stops_making_sense(
    expression: str, at: str
) -> None:
    with pytest.raises(InvalidFilterError, match=at):
        parse_sql(expression)


def test_application_properties_are_read_only_where_a_filter_asks() -> None:
    class Unreadable(dict[str, PropertyValue]):
        def get(self, *_: Any) -> Any:
            raise AssertionError("decoded for nothing")

    broker = news(subscription("all", TrueFilter()), subscription("c", CorrelationFilter(correlation_id="x")))
    broker.send("news", [Message(payload=b"1", application_properties=Unreadable())], T)
    assert ready(broker, "all") == [b"1"]
