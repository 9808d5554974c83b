from typing import Any

import pytest

from worker.core.admission import AdmissionSpec, refusal
from worker.core.outcome import Reason

from .events import ORGANIZATION, request_of, update

ANY = AdmissionSpec(max_depth=8, organizations=())


def refused(spec: AdmissionSpec, **members: Any) -> str | None:
    rejected = refusal(request_of(update({}, **members)).event, spec)
    assert rejected is None or rejected.reason is Reason.UNROUTABLE
    return None if rejected is None else rejected.detail


@pytest.mark.parametrize("depth", [None, 1, 8])
def test_an_event_within_the_depth_is_admitted(depth: int | None) -> None:
    assert refused(ANY, Depth=depth) is None


def test_a_deeper_event_is_refused_as_a_loop() -> None:
    detail = refused(ANY, Depth=9)
    assert detail is not None
    assert detail.startswith("the event is at depth 9, and at most 8 is taken (dataverse.max_depth)")
    assert "a step and its flow call each other" in detail


@pytest.mark.parametrize("listed", ["contoso", "CONTOSO", ORGANIZATION, f"{{{ORGANIZATION.upper()}}}"])
def test_an_organization_is_listed_by_name_or_id(listed: str) -> None:
    assert refused(AdmissionSpec(max_depth=8, organizations=("fabrikam", listed))) is None


def test_an_event_of_another_organization_is_refused() -> None:
    detail = refused(AdmissionSpec(max_depth=8, organizations=("fabrikam", "northwind")))
    assert detail is not None
    assert f"the event is of the organization 'Contoso' or '{ORGANIZATION}'" in detail
    assert "dataverse.organizations lists fabrikam, northwind" in detail


def test_an_event_that_names_no_organization_is_refused_where_some_are_listed() -> None:
    detail = refused(AdmissionSpec(max_depth=8, organizations=("x",)), OrganizationName=None, OrganizationId=None)
    assert detail is not None
    assert "the event names no organization" in detail
    assert refused(ANY, OrganizationName=None, OrganizationId=None) is None


def test_a_message_that_is_no_event_is_admitted() -> None:
    assert refusal(None, AdmissionSpec(max_depth=1, organizations=("x",))) is None
