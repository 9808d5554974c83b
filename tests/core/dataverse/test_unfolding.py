from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from worker.core.dataverse.document import ContextBroken
from worker.core.dataverse.unfolding import unfolded
from worker.core.dataverse.xml_reader import read_xml

ROOT = (
    '<RemoteExecutionContext xmlns="http://schemas.microsoft.com/xrm/2011/Contracts" '
    'xmlns:i="http://www.w3.org/2001/XMLSchema-instance" xmlns:x="http://www.w3.org/2001/XMLSchema">'
)


def members(inner: str) -> dict[str, Any]:
    return unfolded(read_xml(f"{ROOT}{inner}</RemoteExecutionContext>".encode(), 0))


def value(inner: str) -> Any:
    """Of a parameter."""
    pair = f"<KeyValuePairOfstringanyType><key>p</key>{inner}</KeyValuePairOfstringanyType>"
    (found,) = members(f"<InputParameters>{pair}</InputParameters>")["InputParameters"]
    return found["value"]


def refused(inner: str) -> str:
    with pytest.raises(ContextBroken) as broken:
        members(inner)
    return str(broken.value)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ('<value i:type="x:int">-5</value>', -5),
        ('<value i:type="x:long"> 9223372036854775807 </value>', 9223372036854775807),
        ('<value i:type="x:boolean">1</value>', True),
        ('<value i:type="x:boolean">false</value>', False),
        ('<value i:type="x:decimal">1.50</value>', Decimal("1.5")),
        ('<value i:type="x:double">4.5E-07</value>', Decimal("4.5E-07")),
        ('<value i:type="x:double">INF</value>', "INF"),
        (
            '<value i:type="x:dateTime">2026-03-01T09:30:00.1234567Z</value>',
            datetime(2026, 3, 1, 9, 30, 0, 123_000, UTC),
        ),
        ('<value i:type="x:dateTime">2026-03-01T09:30:00-07:00</value>', datetime(2026, 3, 1, 16, 30, tzinfo=UTC)),
        ('<value i:type="x:dateTime">2026-03-01T09:30:00</value>', datetime(2026, 3, 1, 9, 30, tzinfo=UTC)),
        ('<value i:type="x:base64Binary">AQL/</value>', [1, 2, 255]),
        ('<value i:type="x:string"/>', ""),
        ("<value/>", ""),
        ('<value i:nil="true"/>', None),
        ('<value i:type="x:duration">P1D</value>', "P1D"),
        ('<value i:type="ArrayOfstring"><string>a</string><string i:nil="true"/></value>', ["a", None]),
        ('<value i:type="ArrayOfint"/>', []),
        ('<value i:type="ArrayOfArrayOfint"><a><int>1</int></a><a/></value>', [[1], []]),
        ('<value i:type="Newer"><A>1</A></value>', {"__type": "Newer", "A": "1"}),
        ("<value><A>1</A><A>2</A></value>", ["1", "2"]),
        ('<value i:type="ParameterCollection"/>', []),
        (
            '<value i:type="Relationship"><PrimaryEntityRole>Boss</PrimaryEntityRole></value>',
            {"__type": "Relationship", "PrimaryEntityRole": "Boss"},
        ),
        (
            '<value i:type="Relationship"><PrimaryEntityRole>7</PrimaryEntityRole></value>',
            {"__type": "Relationship", "PrimaryEntityRole": 7},
        ),
        ('<value i:type="Money"><Value>3</Value></value>', {"__type": "Money", "Value": 3}),
    ],
)
def test_a_value_is_what_its_type_says(written: str, read: Any) -> None:
    assert value(written) == read


def test_a_member_that_is_not_known_is_kept_as_it_stands() -> None:
    assert members("<Newer>5</Newer>") == {"Newer": "5"}


@pytest.mark.parametrize(
    ("inner", "told"),
    [
        ("<Stage>soon</Stage>", "Stage: expected an integer, found 'soon'"),
        ("<Stage>1_0</Stage>", "Stage: expected an integer"),
        ("<Stage>\u0663</Stage>", "Stage: expected an integer"),
        ("<Stage><a/></Stage>", "Stage: expected an integer, found elements"),
        ("<IsInTransaction>yes</IsInTransaction>", "IsInTransaction: expected true or false, found 'yes'"),
        ("<OperationCreatedOn>soon</OperationCreatedOn>", "OperationCreatedOn: expected a date, found 'soon'"),
        ("<MessageName><a/></MessageName>", "MessageName: expected a text, found elements"),
        (
            "<ParentContext><Depth>x</Depth></ParentContext>",
            "ParentContext.Depth: expected an integer, found 'x'",
        ),
    ],
)
def test_what_a_type_does_not_allow_is_refused_with_its_place(inner: str, told: str) -> None:
    assert told in refused(inner)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ('<value i:type="x:decimal">1,5</value>', "expected a decimal number, found '1,5'"),
        ('<value i:type="x:decimal">Infinity</value>', "expected a decimal number"),
        ('<value i:type="x:base64Binary">A</value>', "expected base64, found 'A'"),
        (
            '<value i:type="x:decimal">1_000</value>',
            "InputParameters[0].value: expected a decimal number, found '1_000'",
        ),
        ('<value i:type="x:decimal">\u0661</value>', "expected a decimal number"),
    ],
)
def test_a_value_that_its_type_does_not_allow_is_refused(written: str, told: str) -> None:
    pair = f"<KeyValuePairOfstringanyType><key>p</key>{written}</KeyValuePairOfstringanyType>"
    assert told in refused(f"<InputParameters>{pair}</InputParameters>")
