"""The embedded broker's entities, from a TOML file."""

import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from worker.emulator.broker import (
    CorrelationFilter,
    Filter,
    InvalidFilterError,
    QueueProperties,
    RuleProperties,
    SubscriptionProperties,
    TopicProperties,
    Topology,
    TrueFilter,
    parse_sql,
)
from worker.settings.problems import Problem, SettingsInvalid, problems_of

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(min_length=1, max_length=260)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class _Queue(_Table):
    name: Name = Field(examples=["flow-requests"])
    lock_s: Seconds = 60
    max_delivery_count: Count = 10
    default_ttl_s: Seconds | None = Field(default=None, examples=[3600])
    dead_letters_on_expiry: bool = False
    requires_session: bool = False
    duplicate_window_s: Seconds | None = Field(default=None, examples=[600])
    max_message_bytes: Count = 262_144
    max_size_bytes: Count | None = Field(default=None, examples=[1_073_741_824])


class _Correlation(_Table):
    correlation_id: str | None = Field(default=None, examples=["c-1"])
    message_id: str | None = Field(default=None, examples=["m-1"])
    session_id: str | None = Field(default=None, examples=["s-1"])
    subject: str | None = Field(default=None, examples=["credit"])
    to: str | None = Field(default=None, examples=["flows"])
    reply_to: str | None = Field(default=None, examples=["flow-replies"])
    reply_to_session_id: str | None = Field(default=None, examples=["s-1"])
    content_type: str | None = Field(default=None, examples=["application/json"])
    properties: dict[str, str | int | float | bool] = Field(default={}, examples=[{"region": "emea"}])


class _Rule(_Table):
    """Without `sql` and `correlation` every message matches."""

    name: Name = "$Default"
    sql: str | None = Field(default=None, examples=["region = 'emea'"])
    correlation: _Correlation | None = None


class _Subscription(_Table):
    name: Name = Field(examples=["worker"])
    rules: tuple[_Rule, ...] = Field(default=(_Rule(),), strict=False)
    lock_s: Seconds = 60
    max_delivery_count: Count = 10
    default_ttl_s: Seconds | None = Field(default=None, examples=[3600])
    dead_letters_on_expiry: bool = False
    requires_session: bool = False


class _Topic(_Table):
    name: Name = Field(examples=["flow-events"])
    subscriptions: tuple[_Subscription, ...] = Field(default=(), strict=False)
    default_ttl_s: Seconds | None = Field(default=None, examples=[3600])
    duplicate_window_s: Seconds | None = Field(default=None, examples=[600])
    max_message_bytes: Count = 262_144
    max_size_bytes: Count | None = Field(default=None, examples=[1_073_741_824])


class _Entities(_Table):
    queues: tuple[_Queue, ...] = Field(default=(), strict=False)
    topics: tuple[_Topic, ...] = Field(default=(), strict=False)


def read_topology(path: Path) -> Topology:
    """Raises SettingsInvalid with all that is wrong."""
    try:
        document = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
        entities = _Entities.model_validate(document)
        return Topology(
            queues=tuple(QueueProperties(**queue.model_dump()) for queue in entities.queues),
            topics=tuple(_topic(topic) for topic in entities.topics),
        )
    except OSError as failed:
        raise _invalid(path, f"can't be read: {failed.strerror}", "check the path") from None
    except UnicodeDecodeError as broken:
        raise _invalid(path, f"isn't UTF-8 at byte {broken.start}", "save the file as UTF-8") from None
    except tomllib.TOMLDecodeError as broken:
        raise _invalid(path, f"isn't TOML: {broken}", "correct that line") from None
    except ValidationError as invalid:
        raise SettingsInvalid(problems_of(invalid, _Entities, {})) from None
    except InvalidFilterError as wrong:
        raise _invalid(path, f"holds a rule that can't be used: {wrong}", "correct its sql") from None


def _topic(topic: _Topic) -> TopicProperties:
    plain: dict[str, Any] = topic.model_dump(exclude={"subscriptions"})
    return TopicProperties(**plain, subscriptions=tuple(_subscription(each) for each in topic.subscriptions))


def _subscription(subscription: _Subscription) -> SubscriptionProperties:
    plain: dict[str, Any] = subscription.model_dump(exclude={"rules"})
    rules = tuple(RuleProperties(name=rule.name, filter=_filter(rule)) for rule in subscription.rules)
    return SubscriptionProperties(**plain, rules=rules)


def _filter(rule: _Rule) -> Filter:
    if rule.sql is not None:
        return parse_sql(rule.sql)
    if rule.correlation is None:
        return TrueFilter()
    plain: dict[str, Any] = rule.correlation.model_dump(exclude={"properties"})
    return CorrelationFilter(**plain, application_properties=rule.correlation.properties)


def _invalid(path: Path, what: str, fix: str) -> SettingsInvalid:
    return SettingsInvalid([Problem(key=str(path), what=what, fix=fix)])
