import json
from datetime import UTC, datetime
from uuid import UUID, uuid4

from worker.core.dataverse.facts import facts_of
from worker.core.dataverse.plain import context_as_plain_json
from worker.core.dataverse.sample import money, option, reference, write_sample

AT = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


def sample(new_id: object = uuid4) -> bytes:
    attributes = {
        "name": "Contoso",
        "creditlimit": money(250_000),
        "industrycode": option(12),
        "primarycontactid": reference("contact", UUID(int=7), "Ann"),
        "lastusedincampaign": AT,
    }
    return write_sample("Update", "account", attributes, at=AT, new_id=new_id)  # type: ignore[arg-type]  # a callable


def test_a_sample_is_a_context_like_any_other() -> None:
    facts = facts_of(sample())
    assert (facts.message, facts.table, facts.stage, facts.mode) == ("Update", "account", 40, 0)


def test_a_sample_reads_back_as_it_was_written() -> None:
    body = context_as_plain_json(sample())
    assert isinstance(body, bytes)
    assert json.loads(body)["inputParameters"]["Target"]["attributes"] == {
        "name": "Contoso",
        "creditlimit": 250_000,
        "industrycode": 12,
        "primarycontactid": {"id": str(UUID(int=7)), "logicalName": "contact", "name": "Ann"},
        "lastusedincampaign": "2026-03-01T09:30:00Z",
    }


def test_every_sample_has_ids_of_its_own() -> None:
    asked: list[UUID] = []

    def new_id() -> UUID:
        asked.append(uuid4())
        return asked[-1]

    body = sample(new_id)
    assert len(set(asked)) == len(asked) > 0
    assert all(str(one).encode() in body for one in asked)


def test_slashes_are_escaped_as_the_platform_does() -> None:
    assert b"\\/Date(" in sample()
    assert b"http://" not in sample()
