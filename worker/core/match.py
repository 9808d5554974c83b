"""The conditions of a route, and which of them a request fails first."""

import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from worker.core.dataverse.changes import brings, changes
from worker.core.dataverse.context import RemoteExecutionContext
from worker.core.dataverse.event import Event
from worker.core.dataverse.facts import EventFacts
from worker.core.decode import text_of
from worker.core.names import same_id, same_name, same_organization
from worker.core.request import Request

_NO_EVENT: Final = EventFacts()
_ON_FACTS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "message": same_name,
    "table": same_name,
    "stage": operator.eq,
    "mode": operator.eq,
    "depth": operator.eq,
    "user": same_id,
    "initiating_user": same_id,
    "custom_api": same_name,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """The first condition that did not hold; `explanation` has the words for it.

    `name` is the property or column that was looked at, `within` what each alternative of `any` failed.
    """

    condition: str
    name: str | None = None
    wanted: "str | int | Match | None" = None
    found: str | int | None = None
    within: tuple["Mismatch", ...] = ()


@dataclass(frozen=True, slots=True)
class _Open:
    """Only the event's whole context can tell."""

    event: Event


class ContextStripped(Exception):
    """Only columns can tell, and Dataverse left them out."""


_Judged: TypeAlias = Mismatch | _Open | None  # None: it holds


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Every condition that is set must hold; names and ids of Dataverse are compared ignoring case.

    `properties` are compared as text, so a numeric application property 3 matches "3". The event must write each
    column of `present`, and give each of `changed` another value than its pre-image has. One of `any` must hold, and
    `unless` must not.
    """

    message: str | None = None
    table: str | None = None
    stage: int | None = None
    mode: int | None = None
    depth: int | None = None
    organization: str | None = None  # its name or its id
    user: str | None = None
    initiating_user: str | None = None
    custom_api: str | None = None
    subject: str | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    any: tuple["Match", ...] = ()
    unless: "Match | None" = None
    present: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    def mismatch(self, request: Request) -> Mismatch | None:
        """None: it holds. The context is read only where the facts leave it open.

        Raises ContextBroken or ContextStripped then.
        """
        judged = _judge(self, request, None)
        while isinstance(judged, _Open):  # never again once the context is there
            if request.is_truncated:
                raise ContextStripped
            judged = _judge(self, request, judged.event.context())
        return judged


def _judge(match: Match, request: Request, context: RemoteExecutionContext | None) -> _Judged:
    failed = _failed_fact(match, request)
    if failed is not None:
        return failed
    left_open: _Open | None = None
    for judged in _judge_others(match, request, context):
        if isinstance(judged, Mismatch):
            return judged
        left_open = left_open or judged
    return left_open


def _failed_fact(match: Match, request: Request) -> Mismatch | None:
    facts = _NO_EVENT if request.event is None else request.event.facts
    for condition, is_same in _ON_FACTS.items():
        wanted = getattr(match, condition)
        if wanted is not None and not is_same(wanted, found := getattr(facts, condition)):
            return Mismatch(condition=condition, wanted=wanted, found=found)
    if match.organization is not None and not same_organization(match.organization, facts):
        found = facts.organization or facts.organization_id
        return Mismatch(condition="organization", wanted=match.organization, found=found)
    if match.subject not in (None, request.subject):
        return Mismatch(condition="subject", wanted=match.subject, found=request.subject)
    for name, text in match.properties.items():
        if (found := text_of(request.properties.get(name))) != text:
            return Mismatch(condition="property", name=name, wanted=text, found=found)
    return None


def _judge_others(match: Match, request: Request, context: RemoteExecutionContext | None) -> Iterator[_Judged]:
    if match.any:
        yield _judge_any([_judge(alternative, request, context) for alternative in match.any])
    if match.unless is not None:
        judged = _judge(match.unless, request, context)
        yield Mismatch(condition="not", wanted=match.unless) if judged is None else _opposite(judged)
    if match.present or match.changed:
        yield _failed_column(match, request.event, context)


def _judge_any(judged: list[_Judged]) -> _Judged:
    failed = tuple(each for each in judged if isinstance(each, Mismatch))
    if len(failed) == len(judged):
        return Mismatch(condition="any", within=failed)
    return None if None in judged else next(each for each in judged if isinstance(each, _Open))


def _opposite(judged: Mismatch | _Open) -> _Open | None:
    return judged if isinstance(judged, _Open) else None


def _failed_column(match: Match, event: Event | None, context: RemoteExecutionContext | None) -> _Judged:
    if context is None and event is not None:
        return _Open(event)
    for condition, columns, is_so in (("present", match.present, brings), ("changed", match.changed, changes)):
        for column in columns:
            if context is None or not is_so(context, column.lower()):
                return Mismatch(condition=condition, name=column)
    return None
