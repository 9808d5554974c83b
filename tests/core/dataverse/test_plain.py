import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.dataverse.document import ContextBroken
from worker.core.dataverse.forms import read
from worker.core.dataverse.plain import plain_context, write_plain


def written(body: bytes) -> bytes:
    return write_plain(plain_context(read(body)))


def plain(context: Any) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(written(json.dumps(context).encode()))
    return read


def rejected(body: bytes) -> str:
    with pytest.raises(ContextBroken) as refused:
        read(body)
    return str(refused.value)


def test_attributes_become_an_object_of_plain_values(context: dict[str, Any], row: str) -> None:
    target = plain(context)["inputParameters"]["Target"]
    assert target["table"] == "account"
    assert target["id"] == row
    assert target["formattedValues"] == {"creditlimit": "€ 100,50"}
    assert target["attributes"] == {
        "name": "Contoso Ünïted",
        "creditlimit": 100.5,
        "statuscode": {"value": 1, "label": None},
        "choices": [{"value": 3, "label": None}, {"value": 5, "label": None}],
        "modifiedon": "2024-06-10T06:13:20.123Z",
        "primarycontactid": {"table": "contact", "id": row, "name": "Ann"},
        "modifiedonbehalfby": None,
        "donotemail": False,
        "requiredattendees": [
            {
                "table": "activityparty",
                "id": row,
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
    assert read["owningExtension"]["table"] == "sdkmessageprocessingstep"


def test_an_image_without_a_type_is_an_entity(context: dict[str, Any]) -> None:
    assert plain(context)["postEntityImages"]["after"]["attributes"] == {"name": "Contoso"}


def test_a_type_that_nobody_interprets_keeps_its_members(context: dict[str, Any]) -> None:
    assert plain(context)["sharedVariables"] == {
        "Changed": [{"$type": "KeyValuePairOfstringstring", "key": "a", "value": "b"}]
    }


def test_members_that_are_not_known_are_kept_apart(context: dict[str, Any]) -> None:
    assert plain(context)["others"] == {"SomethingNewer": {"x": 1}}
    del context["SomethingNewer"]
    assert "others" not in plain(context)


def test_choices_and_references_have_the_labels_that_came_along(context: dict[str, Any], row: str) -> None:
    target = context["InputParameters"][0]["value"]
    reference = next(pair for pair in target["Attributes"] if pair["key"] == "primarycontactid")
    reference["value"]["Name"] = None
    labels = {"statuscode": "Active", "choices": "One; Two", "primarycontactid": "Ann Lee", "name": "unused"}
    target["FormattedValues"] = [{"key": key, "value": value} for key, value in labels.items()]
    columns = plain(context)["inputParameters"]["Target"]["attributes"]
    assert columns["statuscode"] == {"value": 1, "label": "Active"}
    assert columns["choices"] == [{"value": 3, "label": "One"}, {"value": 5, "label": "Two"}]
    assert columns["primarycontactid"] == {"table": "contact", "id": row, "name": "Ann Lee"}
    assert columns["name"] == "Contoso Ünïted"


def test_labels_that_do_not_add_up_are_left_in_the_formatted_values(context: dict[str, Any]) -> None:
    target = context["InputParameters"][0]["value"]
    target["FormattedValues"] = [{"key": "choices", "value": "One; or two; Three"}]
    read = plain(context)["inputParameters"]["Target"]
    assert read["attributes"]["choices"][0] == {"value": 3, "label": None}
    assert read["formattedValues"] == {"choices": "One; or two; Three"}


def test_a_query_names_its_operators(context: dict[str, Any]) -> None:
    query = {
        "__type": "QueryExpression:http://schemas.microsoft.com/xrm/2011/Contracts",
        "EntityName": "account",
        "ColumnSet": {"AllColumns": False, "Columns": ["name"]},
        "Criteria": {
            "FilterOperator": 1,
            "Conditions": [{"AttributeName": "name", "Operator": 54, "Values": ["Con"]}],
            "Filters": [],
        },
        "Orders": [{"AttributeName": "name", "OrderType": 1}],
        "TopCount": 5,
    }
    read = plain({**context, "InputParameters": [{"key": "Query", "value": query}]})["inputParameters"]["Query"]
    assert read == {
        "entityName": "account",
        "columnSet": {"allColumns": False, "columns": ["name"]},
        "criteria": {
            "operator": "Or",
            "conditions": [{"attributeName": "name", "operator": "BeginsWith", "values": ["Con"]}],
        },
        "orders": [{"attributeName": "name", "orderType": "Descending"}],
        "topCount": 5,
    }


def test_a_money_keeps_all_its_digits(context: dict[str, Any]) -> None:
    text = json.dumps(context).replace("100.5", "922337203685477.5807")
    assert b'"creditlimit":922337203685477.5807' in written(text.encode())


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
    (related,) = plain(context)["inputParameters"]["Target"]["related"]
    assert (related["relationship"], related["table"]) == ("contact_customer_accounts", "contact")
    assert related["rows"][0]["attributes"] == {"lastname": "Lee"}


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
        "table": "account",
        "id": None,
        "name": None,
        "keys": {"accountnumber": "A-1"},
    }


@pytest.mark.parametrize("prefix", [b"", b"\xef\xbb\xbf"])
def test_escaped_slashes_and_a_byte_order_mark_are_read(context: dict[str, Any], prefix: bytes) -> None:
    body = prefix + json.dumps(context).replace("/", "\\/").encode()
    assert json.loads(written(body)) == plain(context)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"MessageName": None}, "MessageName"),
        ({"Stage": "40"}, "Stage: expected an integer, found a string"),
        ({"Depth": True}, "Depth: expected an integer"),
        ({"InputParameters": {}}, "InputParameters: expected a list, found an object"),
        ({"InputParameters": [{"value": 1}]}, "InputParameters[0]"),
        ({"InputParameters": [{"key": {}, "value": 1}]}, "InputParameters[0]"),
        ({"OwningExtension": "x"}, "OwningExtension: expected an object"),
        ({"OperationCreatedOn": "soon"}, "OperationCreatedOn"),
        ({"ParentContext": {"Stage": 40}}, "ParentContext.MessageName"),
        ({"PreEntityImages": [{"key": "x", "value": {"Id": 1}}]}, "PreEntityImages.x.Id: expected a string"),
        ({"UserId": 7}, "UserId: expected a string, found an integer"),
    ],
)
def test_a_wrong_shape_is_refused_with_its_place(context: dict[str, Any], change: dict[str, Any], where: str) -> None:
    assert where in rejected(json.dumps({**context, **change}).encode())


def test_too_many_parents_are_refused(context: dict[str, Any]) -> None:
    nested: dict[str, Any] | None = None
    for _ in range(80):
        nested = {**context, "InputParameters": [], "PostEntityImages": [], "ParentContext": nested}
    assert "inside each other" in rejected(json.dumps(nested).encode())


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
    body = json.dumps(document).encode()
    with contextlib.suppress(ContextBroken):
        assert json.loads(written(body))["messageName"] == document["MessageName"]
