"""The keys, their types and defaults. What one value says about another is in `rules`."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from worker.core.flow_spec import AfterCrash, Auth, BreakerSpec, FlowSpec, RetrySpec
from worker.core.route import Match, RouteRule
from worker.flow.clouds import CLOUDS, Cloud, CloudName
from worker.settings.addresses import check_host, check_namespace, connection_string_fault, uses_emulator


def _absent_if_empty(value: Any) -> Any:
    return None if value == "" else value


def _check_connection_string(secret: SecretStr) -> SecretStr:
    if (fault := connection_string_fault(secret.get_secret_value())) is not None:
        raise ValueError(fault)
    return secret


def _property_text(value: Any) -> Any:
    """Application properties are compared as text, so a rule may give a number or a boolean."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


Seconds = Annotated[float, Field(gt=0, le=10 * 366 * 86_400, allow_inf_nan=False)]
Ratio = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Name = Annotated[str, Field(min_length=1, max_length=260)]  # the longest entity path there is
Absent = BeforeValidator(_absent_if_empty)
OptionalName = Annotated[Name | None, Absent]
Host = Annotated[str, AfterValidator(check_host)]


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
    replicas: Count = 1
    replicas_dns: Annotated[Host | None, Absent] = Field(default=None, examples=["flowbridge-workers.flows.svc"])


class HttpSettings(Section):
    host: Host = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8080  # 0: any free one


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
    body: Literal["message", "context"] = "message"
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
            retry=RetrySpec(**self.retry.model_dump()),
            breaker=BreakerSpec(**self.breaker.model_dump()),
        )


class MatchSettings(Section):
    message: OptionalName = Field(default=None, examples=["Update"])
    table: OptionalName = Field(default=None, examples=["account"])
    stage: int | None = Field(default=None, examples=[40])
    mode: int | None = Field(default=None, examples=[1])
    organization: OptionalName = Field(default=None, examples=["contoso"])
    subject: OptionalName = Field(default=None, examples=["credit"])
    property: dict[str, Annotated[str, BeforeValidator(_property_text)]] = Field(
        default={}, examples=[{"region": "emea"}]
    )


class RouteSettings(Section):
    flow: str = Field(default="", examples=["credit-check"])
    match: MatchSettings = MatchSettings()

    def rule(self) -> RouteRule:
        conditions = self.match
        return RouteRule(
            flow=self.flow,
            match=Match(
                message=conditions.message,
                table=conditions.table,
                stage=conditions.stage,
                mode=conditions.mode,
                organization=conditions.organization,
                subject=conditions.subject,
                properties=conditions.property,
            ),
        )


class Settings(Section):
    servicebus: ServiceBusSettings = ServiceBusSettings()
    identity: IdentitySettings = IdentitySettings()
    worker: WorkerSettings = WorkerSettings()
    http: HttpSettings = HttpSettings()
    flows: tuple[FlowSettings, ...] = Field(default=(), strict=False)
    routes: tuple[RouteSettings, ...] = Field(default=(), strict=False)

    def flow_specs(self) -> dict[str, FlowSpec]:
        specs = (flow.spec(self.identity.fixed_by_cloud) for flow in self.flows)
        return {spec.name: spec for spec in specs}

    def route_rules(self) -> tuple[RouteRule, ...]:
        return tuple(route.rule() for route in self.routes)
