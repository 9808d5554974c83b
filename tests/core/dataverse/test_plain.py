import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.dataverse.plain import context_as_plain_json
from worker.core.outcome import Reason, Rejected


def plain(context: Any) -> dict[str, Any]:
    body = context_as_plain_json(json.dumps(context).encode())
    assert isinstance(body, bytes), body
    read: dict[str, Any] = json.loads(body)
    return read


def rejected(body: bytes) -> str:
    outcome = context_as_plain_json(body)
    assert isinstance(outcome, Rejected)
    assert outcome.reason is Reason.MALFORMED
    return outcome.detail


def test_attributes_become_an_object_of_plain_values(context: dict[str, Any], row: str) -> None:
    target = plain(context)["inputParameters"]["Target"]
    assert target["logicalName"] == "account"
    assert target["id"] == row
    assert target["formattedValues"] == {"creditlimit": "€ 100,50"}
    assert target["attributes"] == {
        "name": "Contoso Ünïted",
        "creditlimit": 100.5,
        "statuscode": 1,
        "choices": [3, 5],
        "modifiedon": "2024-06-10T06:13:20.123Z",
        "primarycontactid": {"id": row, "logicalName": "contact", "name": "Ann"},
        "modifiedonbehalfby": None,
        "donotemail": False,
        "requiredattendees": [
            {
                "id": row,
                "logicalName": "activityparty",
                "attributes": {"addressused": "ann@example.com"},
                "formattedValues": {"creditlimit": "€ 100,50"},
            }
        ],
    }


def test_the_event_itself_keeps_its_facts(context: dict[str, Any], row: str) -> None:
    read = plain(context)
    assert read["messageName"] == "Update"
    assert read["primaryEntityName"] == "account"
    assert read["primaryEntityId"] == row
    assert read["secondaryEntityName"] is None
    assert (read["stage"], read["mode"], read["depth"]) == (40, 1, 2)
    assert read["operationCreatedOn"] == "2024-06-09T23:13:20Z"  # -0700 added
    assert read["requestId"] is None
    assert read["isInTransaction"] is True
    assert read["owningExtension"]["logicalName"] == "sdkmessageprocessingstep"


def test_an_image_without_a_type_is_an_entity(context: dict[str, Any]) -> None:
    assert plain(context)["postEntityImages"]["after"]["attributes"] == {"name": "Contoso"}


def test_a_type_that_nobody_interprets_keeps_its_members(context: dict[str, Any]) -> None:
    assert plain(context)["sharedVariables"] == {"Changed": [{"key": "a", "value": "b"}]}


def test_members_that_are_not_known_are_passed_over(context: dict[str, Any]) -> None:
    assert "somethingNewer" not in plain(context)


def test_a_money_keeps_all_its_digits(context: dict[str, Any]) -> None:
    text = json.dumps(context).replace("100.5", "922337203685477.5807")
    body = context_as_plain_json(text.encode())
    assert isinstance(body, bytes)
    assert b'"creditlimit":922337203685477.5807' in body


def test_a_parent_context_is_read_in_the_same_way(context: dict[str, Any]) -> None:
    parent = {**context, "MessageName": "Create", "ParentContext": None}
    assert plain({**context, "ParentContext": parent})["parentContext"]["messageName"] == "Create"


def test_rows_of_a_deep_insert_come_along_by_relationship(context: dict[str, Any], row: str) -> None:
    contacts = {
        "EntityName": "contact",
        "Entities": [{"Attributes": [{"key": "lastname", "value": "Lee"}], "Id": row, "LogicalName": "contact"}],
    }
    relationship = {"PrimaryEntityRole": None, "SchemaName": "contact_customer_accounts"}
    context["InputParameters"][0]["value"]["RelatedEntities"] = [{"key": relationship, "value": contacts}]
    related = plain(context)["inputParameters"]["Target"]["relatedEntities"]
    assert related["contact_customer_accounts"]["entities"][0]["attributes"] == {"lastname": "Lee"}


def test_a_row_named_by_an_alternate_key_keeps_it(context: dict[str, Any]) -> None:
    reference = {
        "__type": "EntityReference:http://schemas.microsoft.com/xrm/2011/Contracts",
        "Id": "00000000-0000-0000-0000-000000000000",
        "KeyAttributes": [{"key": "accountnumber", "value": "A-1"}],
        "LogicalName": "account",
        "Name": None,
    }
    read = plain({**context, "InputParameters": [{"key": "Target", "value": reference}]})
    assert read["inputParameters"]["Target"] == {
        "id": None,
        "logicalName": "account",
        "name": None,
        "keyAttributes": {"accountnumber": "A-1"},
    }


@pytest.mark.parametrize("prefix", [b"", b"\xef\xbb\xbf"])
def test_escaped_slashes_and_a_byte_order_mark_are_read(context: dict[str, Any], prefix: bytes) -> None:
    body = context_as_plain_json(prefix + json.dumps(context).replace("/", "\\/").encode())
    assert isinstance(body, bytes)
    assert json.loads(body) == plain(context)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"MessageName": None}, "MessageName"),
        ({"Stage": "40"}, "Stage: expected an integer, found a string"),
        ({"Depth": True}, "Depth: expected an integer"),
        ({"InputParameters": {}}, "InputParameters: expected a list of keys and values, found an object"),
        ({"InputParameters": [{"value": 1}]}, "InputParameters[0]"),
        ({"InputParameters": [{"key": {}, "value": 1}]}, "InputParameters[0]"),
        ({"OwningExtension": "x"}, "OwningExtension: expected an object"),
        ({"OperationCreatedOn": "soon"}, "OperationCreatedOn"),
        ({"ParentContext": {"Stage": 40}}, "ParentContext.MessageName"),
        ({"UserId": 7}, "UserId: expected a string, found an integer"),
    ],
)
def test_a_wrong_shape_is_refused_with_its_place(context: dict[str, Any], change: dict[str, Any], where: str) -> None:
    assert where in rejected(json.dumps({**context, **change}).encode())


def test_too_many_parents_are_refused(context: dict[str, Any]) -> None:
    nested: dict[str, Any] | None = None
    for _ in range(40):
        nested = {**context, "InputParameters": [], "PostEntityImages": [], "ParentContext": nested}
    assert "parent contexts" in rejected(json.dumps(nested).encode())


def test_values_nested_without_end_are_refused(context: dict[str, Any]) -> None:
    deep: Any = 1
    for _ in range(200):
        deep = [deep]
    context["SharedVariables"] = [{"key": "x", "value": deep}]
    assert "inside each other" in rejected(json.dumps(context).encode())
    assert "deeply" in rejected(b'{"MessageName":' + b"[" * 100_000)


@pytest.mark.parametrize("body", [b"", b"<a/>", b"[]", b'"x"', b"\xff\xfe{}", b'{"MessageName": NaN}', b'{"a":'])
def test_any_other_body_is_refused_for_such_a_flow(body: bytes) -> None:
    assert rejected(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["__type", "key", "value", "Value", "Attributes", "LogicalName", "Id", "x"]), inner
        )
        | inner.map(lambda value: [{"key": "k", "value": value}])
    ),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries(
        {"MessageName": st.just("Update") | JSON},
        optional=dict.fromkeys(
            ("InputParameters", "ParentContext", "Stage", "OwningExtension", "PreEntityImages"), JSON
        ),
    )
)
def test_no_json_object_makes_the_reader_fall_over(document: dict[str, Any]) -> None:
    outcome = context_as_plain_json(json.dumps(document).encode())
    assert isinstance(outcome, Rejected) or json.loads(outcome)["messageName"] == document["MessageName"]
