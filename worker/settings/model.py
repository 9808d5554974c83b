"""The keys, their types and defaults. What one value says about another is in `rules`."""

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, InstanceOf, SecretStr

from worker.core.admission import AdmissionSpec
from worker.core.door.asker import ALL_FLOWS, CallerSpec
from worker.core.door.ids import REPLICA
from worker.core.flow_spec import AfterCrash, Auth, Body, BreakerSpec, FlowSpec, RetrySpec
from worker.core.json_schema import JsonSchema
from worker.core.match import Match
from worker.core.route import RouteRule
from worker.flow.clouds import CLOUDS, Cloud, CloudName
from worker.settings.addresses import check_host, check_namespace, connection_string_fault, uses_emulator
from worker.settings.schema_files import read_schema


def _absent_if_empty(value: Any) -> Any:
    return None if value == "" else value


def _check_connection_string(secret: SecretStr) -> SecretStr:
    if (fault := connection_string_fault(secret.get_secret_value())) is not None:
        raise ValueError(fault)
    return secret


def _scalar_text(value: Any) -> Any:
    """Properties are compared, and parameters sent, as text: a number or a boolean may be written as one."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def _check_replica(text: str) -> str:
    if not REPLICA.fullmatch(text):
        raise ValueError(f"expected a name of lower-case letters, digits and hyphens, got {text!r:.80}")
    return text


LEAST_ADMIN_TOKEN: Final = 16
LEAST_DOOR_SECRET: Final = 32


def _check_admin_token(secret: SecretStr) -> SecretStr:
    return _check_secret(secret, least=LEAST_ADMIN_TOKEN)


def _check_door_secret(secret: SecretStr) -> SecretStr:
    return _check_secret(secret, least=LEAST_DOOR_SECRET)


def _check_secret(secret: SecretStr, *, least: int) -> SecretStr:
    text = secret.get_secret_value()
    if len(text) < least or not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError(f"expected at least {least} printable ASCII characters without spaces (openssl rand -hex 32)")
    return secret


_ID = re.compile(r"\{?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\}?", re.IGNORECASE)
_MOST_MATCHES_NESTED = 8


def _check_id(text: str) -> str:
    if not _ID.fullmatch(text):
        raise ValueError(f"expected an id (a GUID), got {text!r:.80}")
    return text


def _check_nesting(match: Any) -> Any:
    """Before anything else walks down."""
    tables = [match]
    for _ in range(_MOST_MATCHES_NESTED):
        inner = [each for table in tables if isinstance(table, dict) for each in _matches_in(table)]
        tables = [table for table in inner if isinstance(table, dict)]
    if tables:
        raise ValueError(f"expected at most {_MOST_MATCHES_NESTED} matches inside each other (any, not), got more")
    return match


def _matches_in(match: dict[str, Any]) -> list[Any]:
    alternatives = match.get("any")
    return [match.get("not"), *(alternatives if isinstance(alternatives, list) else [])]


Seconds = Annotated[float, Field(gt=0, le=10 * 366 * 86_400, allow_inf_nan=False)]
Ratio = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Name = Annotated[str, Field(min_length=1, max_length=260)]  # the longest entity path there is
Absent = BeforeValidator(_absent_if_empty)
OptionalName = Annotated[Name | None, Absent]
OptionalId = Annotated[Annotated[str, AfterValidator(_check_id)] | None, Absent]
Host = Annotated[str, AfterValidator(check_host)]
Texts = dict[str, Annotated[str, BeforeValidator(_scalar_text)]]
SchemaFile = Annotated[InstanceOf[JsonSchema] | None, BeforeValidator(read_schema)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class ServiceBusSettings(Section):
    namespace: Annotated[Annotated[str, AfterValidator(check_namespace)] | None, Absent] = Field(
        default=None, examples=["contoso.servicebus.windows.net"]
    )
    connection_string: Annotated[Annotated[SecretStr, AfterValidator(_check_connection_string)] | None, Absent] = Field(
        default=None, examples=["Endpoint=sb://HOST/;SharedAccessKeyName=NAME;SharedAccessKey=KEY"]
    )
    connection_string_file: OptionalName = Field(default=None, examples=["/run/secrets/servicebus"])
    transport: Literal["amqp", "websockets"] = "amqp"
    request_queue: Name = "flow-requests"
    request_topic: OptionalName = Field(default=None, examples=["flow-requests"])
    request_subscription: OptionalName = Field(default=None, examples=["worker"])
    request_sessions: bool = False
    retry_queue: OptionalName = Field(default=None, examples=["flow-retries"])
    lock_s: Annotated[float, Field(ge=5, le=300)] = 60  # the broker's own limits
    max_delivery_count: Annotated[int, Field(ge=1, le=2000)] = 10
    reply_queues: tuple[Name, ...] = Field(default=("flow-replies",), strict=False)

    @property
    def uses_emulator(self) -> bool:
        return self.connection_string is not None and uses_emulator(self.connection_string.get_secret_value())


class IdentitySettings(Section):
    kind: Literal["managed", "workload", "default", "static"] = "managed"
    client_id: OptionalName = Field(default=None, examples=["00000000-0000-0000-0000-000000000000"])
    cloud: CloudName = "public"

    @property
    def fixed_by_cloud(self) -> Cloud:
        return CLOUDS[self.cloud]


class WorkerSettings(Section):
    concurrency: Count = 200
    drain_s: Seconds = 120
    grace_s: Seconds = 150
    max_age_s: Seconds = 86_400
    default_timeout_s: Seconds = 110
    redelivery_s: tuple[Seconds, ...] = Field(default=(5, 30, 120, 600), strict=False)
    processes: Annotated[int, Field(ge=1, le=64)] = 1
    replicas: Count = 1
    replicas_dns: Annotated[Host | None, Absent] = Field(default=None, examples=["flowbridge-workers.flows.svc"])


class DataverseSettings(Section):
    """Which events are taken at all. No security boundary: nobody signs what an event says of itself."""

    max_depth: Count = 8  # Dataverse's own limit
    organizations: tuple[Name, ...] = Field(default=(), strict=False, examples=[["contoso"]])

    def admission(self) -> AdmissionSpec:
        return AdmissionSpec(max_depth=self.max_depth, organizations=self.organizations)


class HttpSettings(Section):
    host: Host = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8080  # 0: any free one
    admin_token: Annotated[Annotated[SecretStr, AfterValidator(_check_admin_token)] | None, Absent] = Field(
        default=None, examples=["64 random characters"]
    )
    admin_token_file: OptionalName = Field(default=None, examples=["/run/secrets/admin-token"])

    @property
    def token(self) -> str | None:
        return None if self.admin_token is None else self.admin_token.get_secret_value()


class CallerSettings(Section):
    """Who may ask at the door, by any of `ids` (of an object or an application) or `roles`."""

    name: Name = Field(examples=["erp"])
    ids: tuple[Annotated[str, AfterValidator(_check_id)], ...] = Field(
        default=(), strict=False, examples=[["00000000-0000-0000-0000-000000000000"]]
    )
    roles: tuple[Name, ...] = Field(default=(), strict=False, examples=[["Flows.Ask"]])
    flows: tuple[Name, ...] = Field(default=(ALL_FLOWS,), strict=False)
    rate_per_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0
    concurrency: Count = 100

    def spec(self) -> CallerSpec:
        return CallerSpec(
            name=self.name,
            ids=frozenset(each.strip("{}").lower() for each in self.ids),
            roles=frozenset(self.roles),
            flows=frozenset(self.flows),
            rate_per_s=self.rate_per_s,
            concurrency=self.concurrency,
        )


class DoorSettings(Section):
    host: Host = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8081  # 0: any free one
    replica: Annotated[Annotated[str, AfterValidator(_check_replica)] | None, Absent] = Field(
        default=None, examples=["door-0"]
    )
    replicas: tuple[Annotated[str, AfterValidator(_check_replica)], ...] = Field(
        default=(), strict=False, examples=[["door-0", "door-1"]]
    )
    peers: OptionalName = Field(default=None, examples=["http://{replica}.flowbridge-door:8081"])
    reply_queue: OptionalName = Field(default=None, examples=["door-replies"])
    secret: Annotated[Annotated[SecretStr, AfterValidator(_check_door_secret)] | None, Absent] = Field(
        default=None, examples=["64 random characters"]
    )
    secret_file: OptionalName = Field(default=None, examples=["/run/secrets/door"])
    tenants: tuple[Annotated[str, AfterValidator(_check_id)], ...] = Field(
        default=(), strict=False, examples=[["00000000-0000-0000-0000-000000000000"]]
    )
    audiences: tuple[Name, ...] = Field(default=(), strict=False, examples=[["api://flowbridge-door"]])
    authority: OptionalName = Field(default=None, examples=["https://login.microsoftonline.com"])
    timeout_s: Seconds = 100
    default_wait_s: Seconds = 110
    max_wait_s: Seconds = 110
    remember_s: Annotated[float, Field(ge=600, le=86_400)] = 600
    max_body_bytes: Annotated[int, Field(ge=1)] = 196_608
    max_waiting: Count = 2_000
    max_held_bytes: Annotated[int, Field(ge=1_000_000)] = 67_108_864
    drain_s: Seconds = 115
    callers: tuple[CallerSettings, ...] = Field(default=(), strict=False)


class RetrySettings(Section):
    attempts: Annotated[int, Field(ge=1, le=100)] = 4
    first_s: Seconds = 0.5
    max_s: Seconds = 20


class BreakerSettings(Section):
    window_s: Seconds = 30
    min_calls: Count = 10
    failure_ratio: Ratio = 0.5
    slow_s: Seconds = 60
    slow_ratio: Ratio = 0.9
    open_s: Seconds = 15
    probes: Count = 1


ONLY_FLOW = "flow"  # the name of a single flow that was given none


class FlowSettings(Section):
    """`name` may stay empty where there is one flow."""

    name: Annotated[str, Field(max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")] = Field(
        default="", examples=["credit-check"]
    )
    url: Annotated[SecretStr | None, Absent] = Field(default=None, examples=["https://HOST/PATH"])
    url_file: OptionalName = Field(default=None, examples=["/run/secrets/flow-url"])
    method: Literal["POST", "GET", "PUT", "PATCH", "DELETE"] = "POST"
    auth: Auth = "identity"
    scope: OptionalName = Field(default=None, examples=["https://service.flow.microsoft.com//.default"])
    timeout_s: Seconds = 110
    idempotent: bool = False
    after_crash: AfterCrash = "call"
    concurrency: Count = 100
    rate_per_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0
    hedge_after_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0
    max_response_bytes: Annotated[int, Field(ge=1)] = 10_485_760
    polling_hosts: tuple[Host, ...] = Field(default=(), strict=False, examples=[["flows.example.com"]])
    truncated: Literal["reject", "pass"] = "reject"
    body: Body = "message"
    body_template: Annotated[dict[str, Any] | None, Absent] = Field(
        default=None, examples=[{"account": "${target.name}"}]
    )
    query: Texts = Field(default={}, examples=[{"account": "${target.name}"}])
    request_schema: SchemaFile = Field(default=None, examples=["/etc/flowbridge/request.schema.json"])
    answer_schema: SchemaFile = Field(default=None, examples=["/etc/flowbridge/answer.schema.json"])
    retry: RetrySettings = RetrySettings()
    breaker: BreakerSettings = BreakerSettings()

    @property
    def called(self) -> str:
        return self.name or ONLY_FLOW

    def spec(self, cloud: Cloud) -> FlowSpec:
        return FlowSpec(
            name=self.called,
            url=self.url.get_secret_value() if self.url else "",
            method=self.method,
            auth=self.auth,
            scope=self.scope or cloud.flow_scope,
            timeout_s=self.timeout_s,
            idempotent=self.idempotent,
            after_crash=self.after_crash,
            concurrency=self.concurrency,
            rate_per_s=self.rate_per_s,
            hedge_after_s=self.hedge_after_s,
            max_response_bytes=self.max_response_bytes,
            polling_hosts=self.polling_hosts,
            truncated=self.truncated,
            body=self.body,
            body_template=self.body_template,
            query=tuple(self.query.items()),
            request_schema=self.request_schema,
            answer_schema=self.answer_schema,
            retry=RetrySpec(**self.retry.model_dump()),
            breaker=BreakerSpec(**self.breaker.model_dump()),
        )


class MatchSettings(Section):
    """`not` is a word of Python's own, hence the alias."""

    message: OptionalName = Field(default=None, examples=["Update"])
    table: OptionalName = Field(default=None, examples=["account"])
    stage: Annotated[int, Field(ge=10, le=40, multiple_of=10)] | None = Field(default=None, examples=[40])
    mode: Annotated[int, Field(ge=0, le=1)] | None = Field(default=None, examples=[1])
    depth: Count | None = Field(default=None, examples=[1])
    organization: OptionalName = Field(default=None, examples=["contoso"])
    user: OptionalId = Field(default=None, examples=["00000000-0000-0000-0000-000000000000"])
    initiating_user: OptionalId = Field(default=None, examples=["00000000-0000-0000-0000-000000000000"])
    custom_api: OptionalName = Field(default=None, examples=["contoso_CheckCredit"])
    subject: OptionalName = Field(default=None, examples=["credit"])
    property: Texts = Field(default={}, examples=[{"region": "emea"}])
    present: tuple[Name, ...] = Field(default=(), strict=False, examples=[["creditlimit"]])
    changed: tuple[Name, ...] = Field(default=(), strict=False, examples=[["creditlimit"]])
    any: "tuple[MatchSettings, ...]" = Field(default=(), strict=False, examples=[[{"table": "account"}]])
    unless: "MatchSettings | None" = Field(default=None, alias="not", examples=[{"table": "account"}])

    def match(self) -> Match:
        return Match(
            message=self.message,
            table=self.table,
            stage=self.stage,
            mode=self.mode,
            depth=self.depth,
            organization=self.organization,
            user=self.user,
            initiating_user=self.initiating_user,
            custom_api=self.custom_api,
            subject=self.subject,
            properties=self.property,
            any=tuple(alternative.match() for alternative in self.any),
            unless=None if self.unless is None else self.unless.match(),
            present=self.present,
            changed=self.changed,
        )


class RouteSettings(Section):
    flow: str = Field(default="", examples=["credit-check"])
    match: Annotated[MatchSettings, BeforeValidator(_check_nesting)] = Field(
        default=MatchSettings(), examples=[{"table": "account"}]
    )

    def rule(self) -> RouteRule:
        return RouteRule(flow=self.flow, match=self.match.match())


class Settings(Section):
    servicebus: ServiceBusSettings = ServiceBusSettings()
    identity: IdentitySettings = IdentitySettings()
    worker: WorkerSettings = WorkerSettings()
    dataverse: DataverseSettings = DataverseSettings()
    http: HttpSettings = HttpSettings()
    door: DoorSettings = DoorSettings()
    flows: tuple[FlowSettings, ...] = Field(default=(), strict=False)
    routes: tuple[RouteSettings, ...] = Field(default=(), strict=False)

    def flow_specs(self) -> dict[str, FlowSpec]:
        specs = (flow.spec(self.identity.fixed_by_cloud) for flow in self.flows)
        return {spec.name: spec for spec in specs}

    def route_rules(self) -> tuple[RouteRule, ...]:
        return tuple(route.rule() for route in self.routes)
