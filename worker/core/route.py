"""Step three of the pipeline, a Content-Based Router: which flow a request is for."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from worker.core.decode import text_of
from worker.core.outcome import Reason, Rejected
from worker.core.request import EventFacts, Request

_NO_EVENT = EventFacts()


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Every condition that is set must hold; names of Dataverse are compared ignoring case.

    `properties` are compared as text, so a numeric application property 3 matches "3".
    """

    message: str | None = None
    table: str | None = None
    stage: int | None = None
    mode: int | None = None
    organization: str | None = None
    subject: str | None = None
    properties: Mapping[str, str] = field(default_factory=dict)

    def holds(self, request: Request) -> bool:
        event = request.event or _NO_EVENT
        return (
            _same_name(self.message, event.message)
            and _same_name(self.table, event.table)
            and _same_name(self.organization, event.organization)
            and self.stage in (None, event.stage)
            and self.mode in (None, event.mode)
            and self.subject in (None, request.subject)
            and all(text_of(request.properties.get(name)) == text for name, text in self.properties.items())
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteRule:
    flow: str
    match: Match


def choose(rules: Sequence[RouteRule], flow_names: Collection[str], request: Request) -> str | Rejected:
    """The first rule that holds; else the flow that the request names; else the only flow there is."""
    for rule in rules:
        if rule.match.holds(request):
            return rule.flow
    if request.flow_name is not None:
        if request.flow_name in flow_names:
            return request.flow_name
        return _unroutable(f"the property flow names {request.flow_name!r:.80}, which isn't one of", flow_names)
    if len(flow_names) == 1:
        return next(iter(flow_names))
    return _unroutable("no route matched and the property flow is absent; set it to one of", flow_names)


def _unroutable(why: str, flow_names: Collection[str]) -> Rejected:
    known = ", ".join(sorted(flow_names)) or "(none)"
    return Rejected(reason=Reason.UNROUTABLE, detail=f"{why} the flows of this worker: {known}")


def _same_name(wanted: str | None, found: str | None) -> bool:
    return wanted is None or (found is not None and wanted.casefold() == found.casefold())
