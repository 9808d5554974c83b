"""`Config.json`, in the format of Microsoft's emulator, as the embedded broker's topology."""

from datetime import timedelta
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_pascal

from worker.emulator.broker import (
    CorrelationFilter,
    QueueProperties,
    RuleProperties,
    SubscriptionProperties,
    TopicProperties,
    Topology,
    parse_sql,
)

CONFIG: Final = Path(__file__).parent / "Config.json"
_SHORTEST_LOCK: Final = timedelta(seconds=5)
"""Service Bus's own least. The embedded broker has a second instead, which spares the tests waiting."""


class _Part(BaseModel):
    model_config = ConfigDict(alias_generator=to_pascal, extra="forbid", frozen=True)


class _Receivable(_Part):
    lock_duration: timedelta
    max_delivery_count: int
    default_message_time_to_live: timedelta
    dead_lettering_on_message_expiration: bool
    requires_session: bool

    @property
    def lock_s(self) -> float:
        return 1.0 if self.lock_duration == _SHORTEST_LOCK else self.lock_duration.total_seconds()


class _Sendable(_Part):
    default_message_time_to_live: timedelta
    duplicate_detection_history_time_window: timedelta
    requires_duplicate_detection: bool

    @property
    def duplicate_window_s(self) -> float | None:
        window = self.duplicate_detection_history_time_window.total_seconds()
        return window if self.requires_duplicate_detection else None


class _QueueConfig(_Receivable, _Sendable):
    pass


class _Queue(_Part):
    name: str
    properties: _QueueConfig

    def built(self) -> QueueProperties:
        properties = self.properties
        return QueueProperties(
            name=self.name,
            lock_s=properties.lock_s,
            max_delivery_count=properties.max_delivery_count,
            default_ttl_s=properties.default_message_time_to_live.total_seconds(),
            dead_letters_on_expiry=properties.dead_lettering_on_message_expiration,
            requires_session=properties.requires_session,
            duplicate_window_s=properties.duplicate_window_s,
        )


class _Correlation(_Part):
    label: str | None = None
    properties: dict[str, str] = {}


class _Sql(_Part):
    sql_expression: str


class _RuleConfig(_Part):
    filter_type: str
    correlation_filter: _Correlation | None = None
    sql_filter: _Sql | None = None


class _Rule(_Part):
    name: str
    properties: _RuleConfig

    def built(self) -> RuleProperties:
        sql, correlation = self.properties.sql_filter, self.properties.correlation_filter or _Correlation()
        if sql is not None:
            return RuleProperties(name=self.name, filter=parse_sql(sql.sql_expression))
        matched = CorrelationFilter(subject=correlation.label, application_properties=correlation.properties)
        return RuleProperties(name=self.name, filter=matched)


class _Subscription(_Part):
    name: str
    properties: _Receivable
    rules: tuple[_Rule, ...] = ()

    def built(self) -> SubscriptionProperties:
        return SubscriptionProperties(
            name=self.name,
            rules=tuple(rule.built() for rule in self.rules) or (RuleProperties(),),
            lock_s=self.properties.lock_s,
            max_delivery_count=self.properties.max_delivery_count,
            default_ttl_s=self.properties.default_message_time_to_live.total_seconds(),
            dead_letters_on_expiry=self.properties.dead_lettering_on_message_expiration,
            requires_session=self.properties.requires_session,
        )


class _Topic(_Part):
    name: str
    properties: _Sendable
    subscriptions: tuple[_Subscription, ...]

    def built(self) -> TopicProperties:
        return TopicProperties(
            name=self.name,
            subscriptions=tuple(subscription.built() for subscription in self.subscriptions),
            default_ttl_s=self.properties.default_message_time_to_live.total_seconds(),
            duplicate_window_s=self.properties.duplicate_window_s,
        )


class _Namespace(_Part):
    name: str
    queues: tuple[_Queue, ...]
    topics: tuple[_Topic, ...]


class _UserConfig(_Part):
    namespaces: tuple[_Namespace]
    logging: dict[str, str]


class _Config(_Part):
    user_config: _UserConfig


def read_topology() -> Topology:
    (namespace,) = _Config.model_validate_json(CONFIG.read_bytes()).user_config.namespaces
    return Topology(
        queues=tuple(queue.built() for queue in namespace.queues),
        topics=tuple(topic.built() for topic in namespace.topics),
    )
