import pytest

from worker.core.explanation import described, explained
from worker.core.match import Match
from worker.core.request import Request

from .events import request_of, update

SENT = update({"name": "Same", "fax": "1"}, {"name": "Same"})


def told(match: Match, request: Request) -> str:
    mismatch = match.mismatch(request)
    assert mismatch is not None
    return str(explained(mismatch, request))


@pytest.mark.parametrize(
    ("match", "text"),
    [
        (Match(table="contact"), "table: wanted contact, found account"),
        (Match(stage=20), "stage: wanted 20, found 40"),
        (Match(organization="x"), "organization: wanted x, found Contoso"),
        (Match(custom_api="new_Check"), "custom_api: wanted new_Check, found none"),
        (Match(subject="s"), "subject: wanted s, found none"),
        (Match(properties={"region": "emea"}), "property.region: wanted emea, found 3"),
        (Match(present=("revenue",)), "present: wanted revenue among the columns written, found it not among them"),
        (Match(changed=("name",)), "changed: wanted another name than before, found the value of the pre-image"),
        (
            Match(changed=("revenue",)),
            "changed: wanted another revenue than before, found it not among the columns written",
        ),
        (
            Match(any=(Match(stage=20), Match(unless=Match(depth=1)))),
            (
                "any: wanted one of them to hold, found [0] stage: wanted 20, found 40; "
                "[1] not: wanted anything but { depth = 1 }, found just that"
            ),
        ),
    ],
)
def test_a_mismatch_is_told_with_what_was_wanted_and_found(match: Match, text: str) -> None:
    assert told(match, request_of(SENT, properties={"region": 3})) == text


@pytest.mark.parametrize("match", [Match(table="account"), Match(present=("name",)), Match(changed=("name",))])
def test_of_a_message_that_is_no_event_that_is_all_there_is_to_tell(match: Match) -> None:
    request = request_of(SENT)
    plain = Request(**{name: getattr(request, name) for name in request.__slots__} | {"event": None})
    assert told(match, plain).endswith("found no Dataverse event")
    assert told(Match(subject="s"), plain).endswith("found none")


def test_a_match_is_described_as_it_stands_in_the_settings() -> None:
    match = Match(
        table="account",
        stage=40,
        properties={"region": "emea"},
        changed=("name", "fax"),
        any=(Match(mode=0), Match(subject='say "é"')),
        unless=Match(depth=2),
    )
    assert described(match) == (
        '{ table = "account", stage = 40, property = { region = "emea" }, '
        'any = [{ mode = 0 }, { subject = "say \\"é\\"" }], not = { depth = 2 }, changed = ["name", "fax"] }'
    )
