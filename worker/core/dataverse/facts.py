"""What routing may look at of every event: the context's plain members, else what the sender claims beside it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from worker.core.dataverse.context import RemoteExecutionContext
from worker.core.dataverse.contracts import CONTRACTS, NO_TABLE, ROOT, Scalar
from worker.core.dataverse.document import ContextBroken
from worker.core.dataverse.reader import kind_of, scalar
from worker.core.delivery import PropertyValue

CLAIMS = "http://schemas.microsoft.com/xrm/2011/Claims/"
_STRIPPED_FOR_SIZE = "messagemaxsizeexceeded"
# A context that Dataverse stripped for size has lost its parameters and images, never these.
_NAMES_OF_A_CONTEXT = frozenset(("PrimaryEntityName", "Stage", "OperationId", "OrganizationId", "InputParameters"))
# What `facts_of` looks at, and what it is called there; beside them the step's id.
_FACTS = {
    "MessageName": "message",
    "PrimaryEntityName": "table",
    "Stage": "stage",
    "Mode": "mode",
    "Depth": "depth",
    "OrganizationName": "organization",
    "OrganizationId": "organization_id",
    "UserId": "user",
    "InitiatingUserId": "initiating_user",
    "OperationId": "operation_id",
    "PrimaryEntityId": "row_id",
}
_STEP = "OwningExtension"
FACT_MEMBERS = frozenset((*_FACTS, _STEP))


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFacts:
    """None where the body doesn't say. `step_id` is the OwningExtension's, `row_id` the PrimaryEntityId."""

    message: str | None = None
    table: str | None = None
    stage: int | None = None
    mode: int | None = None
    depth: int | None = None
    organization: str | None = None
    organization_id: str | None = None
    user: str | None = None
    initiating_user: str | None = None
    operation_id: str | None = None
    step_id: str | None = None
    row_id: str | None = None

    @property
    def custom_api(self) -> str | None:
        """Only names that customers give have a prefix before an underscore."""
        return self.message if self.message is not None and "_" in self.message.strip("_") else None


def claims_of(properties: Mapping[str, PropertyValue]) -> EventFacts | None:
    """The sender's claims, which nobody has signed; None where there are none."""
    claims = {name.removeprefix(CLAIMS): value for name, value in properties.items() if name.startswith(CLAIMS)}
    if not claims:
        return None

    def text(name: str) -> str | None:
        value = claims.get(name)
        told = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
        return None if value is None or told == "" else told

    table = text("EntityLogicalName")
    return EventFacts(
        message=text("RequestName"),
        table=None if table == NO_TABLE else table,
        organization=text("Organization"),
        user=text("User"),
        initiating_user=text("InitiatingUser"),
    )


def claimed_with(context: RemoteExecutionContext) -> dict[str, str]:
    """The properties that Dataverse sends along with an event."""
    claims = {
        "Organization": context.organization_name,
        "User": context.user_id,
        "InitiatingUser": context.initiating_user_id,
        "EntityLogicalName": context.primary_entity_name or NO_TABLE,
        "RequestName": context.message_name,
        "InitiatingUserAgent": context.initiating_user_agent,
    }
    return {f"{CLAIMS}{name}": value for name, value in claims.items() if value is not None}


def is_stripped(properties: Mapping[str, PropertyValue]) -> bool:
    """Whether Dataverse took the parameters and images out because the message was over its size limit."""
    return any(name.lower().endswith(_STRIPPED_FOR_SIZE) for name in properties)


def facts_of(members: object) -> EventFacts:
    """Raises ContextBroken for what isn't a RemoteExecutionContext."""
    if not isinstance(members, dict):
        raise ContextBroken(f"expected a JSON object, found {kind_of(members)}")
    if not isinstance(members.get("MessageName"), str) or _NAMES_OF_A_CONTEXT.isdisjoint(members):
        raise ContextBroken("expected a RemoteExecutionContext: a MessageName, its PrimaryEntityName, Stage and so on")
    told = {field: _read(ROOT, name, members) for name, field in _FACTS.items()}
    step = members.get(_STEP)
    return EventFacts(**told, step_id=_read("EntityReference", "Id", step) if isinstance(step, dict) else None)


def _read(contract: str, name: str, members: Mapping[str, Any]) -> Any:
    found, member = members.get(name), CONTRACTS[contract].members[name]
    return None if found is None or not isinstance(member.kind, Scalar) else scalar(member.kind, found, (None, name))


def completed(facts: EventFacts, claims: EventFacts | None) -> EventFacts:
    """What the context says; what it leaves open, as claimed."""
    if claims is None:
        return facts
    missing = [field.name for field in fields(facts) if getattr(facts, field.name) is None]
    return replace(facts, **{name: getattr(claims, name) for name in missing})
