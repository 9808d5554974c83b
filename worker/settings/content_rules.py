"""What is wrong with what a flow is to get: templates and query."""

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import SplitResult, parse_qs

from worker.core.flow_spec import BODILESS
from worker.core.template import faults
from worker.settings.model import FlowSettings
from worker.settings.problems import Problem

_OF_THE_TRIGGER: Final = frozenset({"api-version", "code", "sig", "sp", "sv"})
_AN_EXPRESSION: Final = "correct it as JSON-e has it (json-e.js.org); a text that is to hold ${ itself says $${"


def broken_content(flow: FlowSettings, key: str) -> Iterator[Problem]:
    names = ("body", "body_template")
    given = [name for name in names if name in flow.model_fields_set and getattr(flow, name) is not None]
    if len(given) == 2:
        yield Problem(key=f"{key}.body_template", what="is given together with body", fix="keep one of them")
    if flow.method in BODILESS:
        unsent = [name for name in given if getattr(flow, name) != "message"]
        for name in [*unsent, *(["request_schema"] if flow.request_schema else [])]:
            yield Problem(
                key=f"{key}.{name}",
                what=f"a {flow.method} sends no body",
                fix='remove it and put what the flow needs into query, or set method = "POST"',
            )
    templates: dict[str, Any] = {f"query.{name}": template for name, template in flow.query.items()}
    if flow.body_template is not None:
        templates["body_template"] = flow.body_template
    for name, template in templates.items():
        for place, fault in faults(template):
            yield Problem(key=f"{key}.{name}{place}", what=fault, fix=_AN_EXPRESSION)


def broken_query(flow: FlowSettings, url: SplitResult, key: str) -> Iterator[Problem]:
    """Names are compared ignoring case, as a trigger may."""
    taken = {name.lower() for name in parse_qs(url.query, keep_blank_values=True)}
    for name in flow.query:
        what = None
        if not name:
            what = "expected a parameter's name, got none"
        elif name.lower() in _OF_THE_TRIGGER:
            what = "belongs to the trigger's own URL"
        elif name.lower() in taken:
            what = "the URL already has a parameter of that name"
        if what is not None:
            yield Problem(key=f"{key}.query.{name}", what=what, fix="choose another name")
