"""Conditions on an event's columns, `any` and `not`, and what is left unread."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.dataverse.document import ContextBroken
from worker.core.match import ContextStripped, Match, Mismatch
from worker.core.request import Request

from .events import CONTRACTS, ORGANIZATION, ROW, STRIPPED, USER, context, request_of, row, update

OTHER_ROW = ROW.replace("6", "7")
BROKEN_INSIDE = context({"Target": {"__type": f"Entity:{CONTRACTS}", "Attributes": 7}})
ACCOUNT, CONTACT, CHANGED = Match(table="account"), Match(table="contact"), Match(changed=("name",))


def holds(match: Match, request: Request) -> bool:
    return match.mismatch(request) is None


def failed(match: Match, request: Request) -> str:
    mismatch = match.mismatch(request)
    assert mismatch is not None
    return mismatch.condition


@pytest.mark.parametrize(
    "match",
    [
        Match(depth=1),
        Match(organization="CONTOSO"),
        Match(organization=ORGANIZATION.upper()),
        Match(organization=f"{{{ORGANIZATION}}}"),
        Match(user=USER.lower()),
        Match(user=f"{{{USER}}}"),
        Match(initiating_user=USER),
        Match(custom_api="NEW_checkcredit"),
        Match(present=("name",)),
        Match(present=("Name", "creditlimit")),
        Match(changed=("name",)),
        Match(any=(CONTACT, ACCOUNT)),
        Match(unless=CONTACT),
        Match(unless=Match(any=(CONTACT, Match(stage=20)))),
    ],
)
def test_a_condition_holds_for_what_it_describes(match: Match) -> None:
    sent = update({"name": "New", "creditlimit": 5}, {"name": "Old", "creditlimit": 5}, MessageName="new_CheckCredit")
    assert holds(match, request_of(sent))


@pytest.mark.parametrize(
    ("match", "condition"),
    [
        (Match(depth=2), "depth"),
        (Match(organization="Fabrikam"), "organization"),
        (Match(user=ROW), "user"),
        (Match(initiating_user=ROW), "initiating_user"),
        (Match(custom_api="new_CheckCredit"), "custom_api"),
        (Match(present=("name", "revenue")), "present"),
        (Match(changed=("name", "creditlimit")), "changed"),
        (Match(changed=("revenue",)), "changed"),
        (Match(any=(CONTACT, Match(stage=20))), "any"),
        (Match(unless=ACCOUNT), "not"),
        (Match(unless=Match(any=(CONTACT, ACCOUNT))), "not"),
        (Match(changed=("creditlimit",), any=(CONTACT,), stage=20), "stage"),
        (Match(changed=("creditlimit",), any=(CONTACT,)), "any"),
    ],
)
def test_the_first_condition_that_fails_is_named(match: Match, condition: str) -> None:
    sent = update({"name": "New", "creditlimit": 5}, {"name": "Old", "creditlimit": 5})
    assert failed(match, request_of(sent)) == condition


def test_what_was_wanted_and_found_is_kept_as_it_stood() -> None:
    request = request_of(update({}), properties={"region": "apac"})
    assert CONTACT.mismatch(request) == Mismatch(condition="table", wanted="contact", found="account")
    in_emea = Match(properties={"region": "emea"})
    apac = Mismatch(condition="property", name="region", wanted="emea", found="apac")
    assert in_emea.mismatch(request) == apac
    assert Match(any=(in_emea,)).mismatch(request) == Mismatch(condition="any", within=(apac,))


def test_a_built_in_message_is_no_custom_api() -> None:
    assert failed(Match(custom_api="Update"), request_of(update({}))) == "custom_api"


class TestColumns:
    def test_without_a_pre_image_a_written_column_counts_as_changed(self) -> None:
        request = request_of(update({"name": "New"}))
        assert holds(Match(changed=("name",)), request)
        assert not holds(Match(changed=("revenue",)), request)

    def test_a_column_that_was_null_before_is_changed_and_one_that_stays_null_is_not(self) -> None:
        request = request_of(update({"name": "New", "fax": None}, {}))
        assert holds(Match(changed=("name",)), request)
        assert not holds(Match(changed=("fax",)), request)
        assert holds(Match(present=("fax",)), request)

    def test_a_column_that_is_emptied_is_changed(self) -> None:
        assert holds(Match(changed=("fax",)), request_of(update({"fax": None}, {"fax": "1"})))

    def test_one_row_of_several_is_enough(self) -> None:
        rows = {"Entities": [row({"name": "Old"}), row({"name": "New"}, OTHER_ROW)]}
        targets = {"__type": f"EntityCollection:{CONTRACTS}", **rows}
        images = {"first": row({"name": "Old"}), "second": row({"name": "Old"}, OTHER_ROW)}
        request = request_of(context({"Targets": targets}, images))
        assert holds(Match(present=("name",), changed=("name",)), request)
        assert not holds(Match(present=("fax",)), request)

    def test_a_deleted_row_brings_no_column(self) -> None:
        reference = {"__type": f"EntityReference:{CONTRACTS}", "LogicalName": "account", "Id": ROW}
        request = request_of(context({"Target": reference}, {"before": row({"name": "Old"})}))
        assert not holds(Match(present=("name",)), request)
        assert not holds(Match(changed=("name",)), request)

    def test_no_other_message_has_columns(self) -> None:
        request = request_of(update({"name": "New"}))
        plain = Request(**{name: getattr(request, name) for name in request.__slots__} | {"event": None})
        assert not holds(Match(present=("name",)), plain)
        assert not holds(Match(changed=("name",)), plain)
        assert holds(Match(unless=Match(changed=("name",))), plain)


UNDECIDED_BY_FACTS = [
    CHANGED,
    Match(unless=CHANGED),
    Match(table="account", changed=("name",)),
    Match(any=(CONTACT, CHANGED)),
    Match(any=(CHANGED,), unless=Match(changed=("name",), table="account")),
]
DECIDED_BY_FACTS = [
    (Match(table="contact", changed=("name",)), False),
    (Match(any=(CHANGED, ACCOUNT)), True),
    (Match(any=(CHANGED,), unless=ACCOUNT), False),
    (Match(unless=Match(any=(CHANGED, ACCOUNT)), changed=("name",)), False),
    (Match(unless=Match(table="contact", changed=("name",))), True),
    (Match(any=(Match(unless=CHANGED), Match(depth=1))), True),
]


class TestUnread:
    @pytest.mark.parametrize(("match", "is_held"), DECIDED_BY_FACTS)
    def test_what_the_facts_decide_needs_no_readable_context(self, match: Match, is_held: bool) -> None:
        assert holds(match, request_of(BROKEN_INSIDE)) is is_held

    @pytest.mark.parametrize("match", UNDECIDED_BY_FACTS)
    def test_what_only_a_broken_context_could_tell_says_where_it_is_broken(self, match: Match) -> None:
        with pytest.raises(ContextBroken, match=r"Target\.Attributes: expected a list"):
            match.mismatch(request_of(BROKEN_INSIDE))

    @pytest.mark.parametrize("match", UNDECIDED_BY_FACTS)
    def test_columns_that_dataverse_left_out_tell_nothing(self, match: Match) -> None:
        with pytest.raises(ContextStripped):
            match.mismatch(request_of(update({"name": "x"}), properties=STRIPPED))

    @pytest.mark.parametrize(("match", "is_held"), DECIDED_BY_FACTS)
    def test_a_stripped_context_is_matched_by_its_facts(self, match: Match, is_held: bool) -> None:
        assert holds(match, request_of(update({}), properties=STRIPPED)) is is_held


NAMES = st.sampled_from(["account", "Contact", "lead"])
COLUMNS = st.lists(st.sampled_from(["name", "fax", "revenue"]), max_size=2).map(tuple)
PLAIN = st.builds(
    Match,
    table=st.none() | NAMES,
    stage=st.none() | st.sampled_from([20, 40]),
    subject=st.none() | st.just("s"),
    properties=st.dictionaries(st.just("region"), st.sampled_from(["emea", "apac"])),
    present=COLUMNS,
    changed=COLUMNS,
)
MATCHES: st.SearchStrategy[Match] = st.recursive(
    PLAIN,
    lambda inner: st.builds(
        Match, table=st.none() | NAMES, any=st.lists(inner, max_size=3).map(tuple), unless=st.none() | inner
    ),
    max_leaves=6,
)
ATTRIBUTES = st.dictionaries(st.sampled_from(["name", "fax", "revenue"]), st.sampled_from([None, 1, 2]), max_size=3)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    given: dict[str, Any] = {
        "subject": draw(st.sampled_from([None, "s"])),
        "properties": draw(st.dictionaries(st.just("region"), st.sampled_from(["emea", "apac"]))),
    }
    sent = update(draw(ATTRIBUTES), draw(st.none() | ATTRIBUTES), PrimaryEntityName=draw(NAMES))
    return request_of(sent, **given)


def negation(match: Match) -> Match:
    return Match(unless=match)


def both(first: Match, second: Match) -> Match:
    return negation(Match(any=(negation(first), negation(second))))


@given(MATCHES, MATCHES, requests())
def test_any_and_not_obey_boolean_algebra(first: Match, second: Match, request: Request) -> None:
    one, other = holds(first, request), holds(second, request)
    either = Match(any=(first, second))
    assert holds(negation(first), request) is not one
    assert holds(negation(negation(first)), request) is one
    assert holds(either, request) is (one or other)
    assert holds(both(first, second), request) is (one and other)
    assert holds(negation(either), request) is holds(both(negation(first), negation(second)), request)
    assert holds(Match(any=(first,), unless=second), request) is (one and not other)


@given(MATCHES, requests())
def test_a_context_that_is_never_read_changes_no_verdict(match: Match, request: Request) -> None:
    """Where the facts decide over a broken context, they decide the same over a whole one."""
    event = request.event
    assert event is not None
    broken = Request(
        **{name: getattr(request, name) for name in request.__slots__}
        | {"event": type(event)(event.facts, b"no context")}
    )
    try:
        by_facts = holds(match, broken)
    except ContextBroken:
        return
    assert holds(match, request) is by_facts
