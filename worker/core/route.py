"""Step three of the pipeline, a Content-Based Router: which flow a request is for."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from worker.core.admission import AdmissionSpec, refusal
from worker.core.dataverse.document import ContextBroken
from worker.core.flow_spec import FlowSpec
from worker.core.match import ContextStripped, Match, Mismatch
from worker.core.outcome import Reason, Rejected
from worker.core.request import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteRule:
    flow: str
    match: Match


def flow_for(
    request: Request, rules: Sequence[RouteRule], flows: Mapping[str, FlowSpec], admission: AdmissionSpec
) -> FlowSpec | Rejected:
    refused = refusal(request.event, admission)
    if refused is not None:
        return refused
    name = choose(rules, flows, request)
    if isinstance(name, Rejected):
        return name
    flow = flows[name]
    if request.is_truncated and flow.truncated == "reject":
        return Rejected(
            reason=Reason.TRUNCATED,
            detail="Dataverse left parts of the context out because it was too large. Register fewer columns "
            f'and images on the step, or set truncated = "pass" on the flow {name!r}.',
        )
    return flow


def choose(rules: Sequence[RouteRule], flow_names: Collection[str], request: Request) -> str | Rejected:
    """The first rule that holds; else the flow that the request names; else the only flow there is."""
    if request.is_flow_fixed and request.flow_name is not None:
        return _named(request.flow_name, flow_names)
    try:
        for rule, mismatch in tried(rules, request):
            if mismatch is None:
                return rule.flow
    except ContextBroken as broken:
        return Rejected(reason=Reason.MALFORMED, detail=f"the Dataverse context can't be read: {broken}")
    except ContextStripped:
        return Rejected(
            reason=Reason.TRUNCATED,
            detail="Dataverse left the columns out because the context was too large, and a route looks at them "
            "(present, changed). Register fewer columns and images on the step, or route by other conditions.",
        )
    if request.flow_name is not None:
        return _named(request.flow_name, flow_names)
    if len(flow_names) == 1:
        return next(iter(flow_names))
    return _unroutable("no route matched and the property flow is absent; set it to one of", flow_names)


def _named(name: str, flow_names: Collection[str]) -> str | Rejected:
    if name in flow_names:
        return name
    return _unroutable(f"the property flow names {name!r:.80}, which isn't one of", flow_names)


def tried(rules: Sequence[RouteRule], request: Request) -> Iterator[tuple[RouteRule, Mismatch | None]]:
    """Up to the first rule that holds, each with what kept it from holding. Raises ContextBroken, ContextStripped."""
    for rule in rules:
        mismatch = rule.match.mismatch(request)
        yield rule, mismatch
        if mismatch is None:
            return


def _unroutable(why: str, flow_names: Collection[str]) -> Rejected:
    known = ", ".join(sorted(flow_names)) or "(none)"
    return Rejected(reason=Reason.UNROUTABLE, detail=f"{why} the flows of this worker: {known}")
