"""Which Dataverse events a worker takes at all.

It keeps loops and mix-ups out, not attackers: nobody signs what an event says of itself.
"""

from dataclasses import dataclass

from worker.core.dataverse.event import Event
from worker.core.dataverse.facts import EventFacts
from worker.core.names import same_organization
from worker.core.outcome import Reason, Rejected


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionSpec:
    """`organizations` are names or ids; none: any."""

    max_depth: int
    organizations: tuple[str, ...]


def refusal(event: Event | None, spec: AdmissionSpec) -> Rejected | None:
    """None: admitted, as is every message that is no event."""
    if event is None:
        return None
    facts = event.facts
    if facts.depth is not None and facts.depth > spec.max_depth:
        return _refused(
            f"the event is at depth {facts.depth}, and at most {spec.max_depth} is taken (dataverse.max_depth): "
            "most likely a loop, in which a step and its flow call each other. "
            "Let the step filter columns that the flow doesn't write, or raise max_depth."
        )
    if spec.organizations and not any(same_organization(wanted, facts) for wanted in spec.organizations):
        return _refused(
            f"the event {_origin(facts)}, and dataverse.organizations lists {', '.join(spec.organizations)}. "
            "Add its organization there, or take the step out that sends it."
        )
    return None


def _origin(facts: EventFacts) -> str:
    said = [text for text in (facts.organization, facts.organization_id) if text is not None]
    return (
        f"is of the organization {' or '.join(f'{text!r:.80}' for text in said)}" if said else "names no organization"
    )


def _refused(why: str) -> Rejected:
    return Rejected(reason=Reason.UNROUTABLE, detail=why)
