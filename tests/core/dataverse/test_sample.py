from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from worker.core.dataverse.changes import brings, changes, target_of
from worker.core.dataverse.context import EntityReference, Money
from worker.core.dataverse.event import recognised
from worker.core.dataverse.facts import claimed_with
from worker.core.dataverse.forms import Form, read, write
from worker.core.dataverse.sample import Sample, sample, sample_row

AT = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize("form", list(Form))
@pytest.mark.parametrize("which", list(Sample))
def test_a_sample_is_an_event_like_any_other(which: Sample, form: Form) -> None:
    written = sample(which, at=AT, new_id=uuid4)
    event = recognised(write(written, form), form.content_type, {})
    assert event is not None
    assert event.context() == written
    assert (event.facts.message, event.facts.stage, event.facts.depth) == (written.message_name, 40, 1)


@pytest.mark.parametrize("which", list(Sample))
def test_every_sample_has_ids_of_its_own(which: Sample) -> None:
    asked: list[UUID] = []

    def new_id() -> UUID:
        asked.append(uuid4())
        return asked[-1]

    body = write(sample(which, at=AT, new_id=new_id), Form.JSON)
    assert len(set(asked)) == len(asked) > 0
    assert all(str(one).encode() in body for one in asked)


def test_each_sample_has_what_its_message_has() -> None:
    events = {which: sample(which, at=AT, new_id=uuid4) for which in Sample}
    created, updated = events[Sample.CREATE_ACCOUNT], events[Sample.UPDATE]
    assert created.output_parameters == {"id": created.primary_entity_id}
    assert brings(created, "name")
    assert changes(updated, "creditlimit")
    assert not changes(updated, "statuscode")
    assert target_of(events[Sample.DELETE]) is None
    assert isinstance(events[Sample.DELETE].input_parameters["Target"], EntityReference)
    assert isinstance(events[Sample.ASSOCIATE].input_parameters["RelatedEntities"], tuple)
    assert events[Sample.CUSTOM_API].primary_entity_name is None


def test_a_row_of_ones_own_is_read_back_as_it_was_written() -> None:
    event = sample_row("Update", "account", {"creditlimit": Money(value=5)}, at=AT, new_id=uuid4)
    target = target_of(read(write(event, Form.JSON)))
    assert target is not None
    assert target.attributes == {"creditlimit": Money(value=5)}


def test_the_claims_beside_a_sample_say_what_it_says() -> None:
    written = sample(Sample.UPDATE, at=AT, new_id=uuid4)
    claimed = recognised(b"", None, dict(claimed_with(written)))
    assert claimed is not None
    assert (claimed.facts.message, claimed.facts.table) == ("Update", "account")
    assert claimed.facts.organization == written.organization_name
    assert claimed.facts.initiating_user == written.initiating_user_id


def test_slashes_are_escaped_as_the_platform_does() -> None:
    body = write(sample(Sample.CREATE_ACCOUNT, at=AT, new_id=uuid4), Form.JSON)
    assert b"\\/Date(" in body
    assert b"http://" not in body
