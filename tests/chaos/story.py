"""All that is known of a request, in the order in which it happened, for a person to read."""

from collections.abc import Iterator

from chaos.plan import Asked
from chaos.records import Call, Delivered, Event, Harm, Line, Replied, Requested, Round, Settled
from chaos.traces import Trace, events_about


def story_of(trace: Trace, record: Round) -> list[str]:
    """Lines, each with its seconds since the request came."""
    told = sorted(_told(trace, record))
    began = told[0][0] if told else 0.0
    return [_asked(trace.asked), *(f"{at - began:9.3f}  {what}" for at, what in told)]


def _asked(asked: Asked | None) -> str:
    if asked is None:
        return "nobody asked for this"
    steps = ", ".join(f"{step.do}{f' after {step.after_s:.2f} s' if step.after_s else ''}" for step in asked.steps)
    wrong = f", wrong: {asked.wrong}" if asked.wrong else ""
    return f"{asked.request_id}: {asked.way}, flow {asked.flow}{wrong}; its flow: {steps}"


def _told(trace: Trace, record: Round) -> Iterator[tuple[float, str]]:
    events = events_about(trace, record.events)
    yield from ((event.at, _event(event)) for event in events)
    for call in trace.calls:
        yield from _call(call)
    for dead in trace.dead:
        yield max((event.at for event in events), default=0.0), f"dead letter  {dead.reason}: {dead.description}"
    if not events:
        return
    involved = {holding.by for holding in trace.holdings} | {call.by for call in trace.calls}
    first, last = min(event.at for event in events) - 1.0, max(event.at for event in events) + 1.0
    yield from ((line.at, _line(line)) for line in record.lines if _is_about(line, trace))
    for harm in record.harms:
        if (harm.by is None or harm.by in involved) and harm.at <= last and harm.until >= first:
            yield harm.at, _harm(harm)
    for life in record.lives:
        if life.by in involved and life.ended_at is not None and first <= life.ended_at <= last:
            yield life.ended_at, f"{life.by:9} ended with {life.status}"


def _is_about(line: Line, trace: Trace) -> bool:
    numbers = {holding.delivered.sequence_number for holding in trace.holdings}
    return line.said.get("request_id") == trace.request_id or line.said.get("sequence_number") in numbers


def _event(event: Event) -> str:
    match event:
        case Requested():
            kind = "copied" if event.is_copy else "requested"
            return f"{event.by or '-':9} {kind} as {event.branch}{' (dropped: a repeat)' if event.is_repeat else ''}"
        case Delivered():
            return f"{event.by or '-':9} got {event.branch}, delivery {event.count}, lock {event.lock[-6:]}"
        case Settled():
            refused = ", refused" if event.is_refused else ""
            return f"          {event.how} {event.branch}, lock {event.lock[-6:]}{refused}"
        case Replied():
            repeat = " (dropped: a repeat)" if event.is_repeat else ""
            return f"{event.by or '-':9} replied {event.outcome} into {event.session} {event.body[:80]!r}{repeat}"


def _call(call: Call) -> Iterator[tuple[float, str]]:
    yield call.at, f"{call.by:9} called: {call.run}"
    if call.ended_at is not None:
        yield call.ended_at, f"          {call.run} ended: {call.ending}"


def _line(line: Line) -> str:
    said = {key: value for key, value in line.said.items() if key not in {"timestamp", "level", "event"} and value}
    return f"{line.by:9} {line.event} {said}"


def _harm(harm: Harm) -> str:
    lasts = f" for {harm.until - harm.at:.1f} s" if harm.until > harm.at else ""
    return f"{harm.by or 'all':9} HARM: {harm.kind} ({harm.trigger}){lasts} {harm.branch or ''}"
