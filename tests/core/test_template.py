import json
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.core.dataverse.json_form import dump, number
from worker.core.template import TemplateFails, faults, render

VALUES = {"target": {"name": "Contoso", "limit": Decimal("922337203685477.5807")}, "stage": 40}


def fails(template: Any, values: dict[str, Any] = VALUES) -> str:
    with pytest.raises(TemplateFails) as caught:
        render(template, values)
    return str(caught.value)


@pytest.mark.parametrize(
    ("template", "rendered"),
    [
        ({"account": "${target.name} (${stage})"}, {"account": "Contoso (40)"}),
        ({"$eval": "target['none']"}, None),
        ({"a": {"$if": "stage == 10", "then": 1}}, {}),
        ({"limit": {"$eval": "target.limit"}}, {"limit": Decimal("922337203685477.5807")}),
        ("${target.limit}", "922337203685477.5807"),
        ({"$map": [1, 2], "each(x)": {"$eval": "x + 1"}}, [2, 3]),
        ({"$eval": "range(0, 3)"}, [0, 1, 2]),
        ("$${x}", "${x}"),
    ],
)
def test_a_template_says_what_json_e_makes_of_it(template: Any, rendered: Any) -> None:
    assert render(template, VALUES) == rendered


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ({"a": [1, {"b": "${target.nmae}"}]}, '.a[1].b: object has no property "nmae"'),
        ({"a": "${targte.name}"}, ".a: unknown context value targte"),
        ({"a": {"$eval": "target.name - 1"}}, ".a: infix: - expects number"),
        ({"a": "${target}"}, ".a: interpolation of 'target' produced an array or object"),
        ({"a": {"$eval": "number(target.name)"}}, "could not convert string to float: 'Contoso'"),
        ({"a": {"$eval": "number('nan')"}}, "nan, which is no JSON number"),
        ({"a": {"$eval": "number('1e308') * 10"}}, "inf, which is no JSON number"),
        ({"a": {"$eval": "target.limit * 2"}}, ".a: infix: * expects number"),
        ({"a": {"$json": {"$eval": "target"}}}, "Decimal is not JSON serializable"),
        ({"a": {"$eval": "range(0, 1000000000)"}}, ".a: range: more than 10,000 numbers"),
        ({"a": {"$eval": "range(0, 'x')"}}, ".a: range: expected two or three integers"),
        ({"a": {"$eval": "1.5 ** 100000"}}, "out of range"),
        ({"a": {"$eval": "fromNow('1 day', 'yesterday')"}}, "does not match format"),
        ({"a": {"$eval": "str"}}, "uncalled functions"),
        ({"a": {"$eval": "sqrt(-1)"}}, "math domain error"),
    ],
)
def test_what_does_not_fit_says_where_and_why(template: Any, told: str) -> None:
    assert told in fails(template)


def test_an_error_quotes_no_value_at_length() -> None:
    assert len(fails({"$eval": "number(a)"}, {"a": "x" * 100_000})) < 400


def test_values_nested_without_end_fail_as_anything_else() -> None:
    deep: Any = []
    for _ in range(5000):
        deep = [deep]
    assert fails({"$flattenDeep": {"$eval": "a"}}, {"a": deep})


@pytest.mark.parametrize(
    "template",
    [
        {},
        {"account": "${target.name}", "lines": [{"$eval": "target.a.b[1:].c"}], "n": 1, "x": None, "y": 1.5},
        {"$if": "defined('target') && !(stage in [10, 20])", "then": "${now}", "else": {"$eval": "{a: [], b: {}}"}},
        {"$let": {"x": "1"}, "in": {"$map": {"$eval": "f(x, -1)"}, "each(y,i)": "${y}${i}"}},
        {"$switch": {"stage == 40": "a", "$default": "b"}},
        {"$match": {"x == 10": "${y}"}},
        {"$sort": {"$eval": "rows"}, "by(row)": "row.name"},
        {"$eval": "(x + 1) ** 2 * 3 ** 0.5"},
        {"$$eval": "not an expression +", "$$${x}": 1, "text": "$${ not one either"},
    ],
)
def test_a_sound_template_has_no_fault(template: Any) -> None:
    assert faults(template) == []


@pytest.mark.parametrize(
    ("template", "where", "told"),
    [
        ({"a": [{"b": "${x"}]}, ".a[0].b", "${x: expected }, found the end"),
        ({"a": "fine ${x} and ${y z}"}, ".a", "${y z}: expected }, found z"),
        ({"a": "${}"}, ".a", "a value is missing"),
        ({"a": "${x + }"}, ".a", "a value is missing"),
        ({"a": "${f(x,)}"}, ".a", "a value is missing"),
        ({"a": "${f("}, ".a", "ends too early"),
        ({"a": "${x ? y}"}, ".a", "Unexpected input"),
        ({"a": {"$eval": ""}}, ".a.$eval", "ends too early"),
        ({"a": {"$eval": "x y"}}, ".a.$eval", "expected no more, found y"),
        ({"a": {"$eval": 7}}, ".a.$eval", "expected an expression in quotes"),
        ({"$if": "x ==", "then": 1}, ".$if", "Unexpected end of input"),
        ({"$if": "x", "thn": 1}, "", "undefined properties: thn"),
        ({"$if": "x", "then": "${"}, ".then", "ends too early"),
        ({"a": {"$find": [], "each(x)": "x"}}, ".a", "write $map with $if in it"),
        ({"a": {"$eval": "2 ** x"}}, ".a.$eval", "expected a number behind **"),
        ({"a": "${1 + [x ** (1 + 1)][0]}"}, ".a", "expected a number behind **"),
        ({"a": "${x ** }"}, ".a", "a value is missing"),
        ({"$sort": [], "by(x)": "(x"}, ".by(x)", "Unexpected end"),
        ({"$switch": {"x >": 1}}, ".$switch.x >", "Unexpected end of input"),
        ({"$match": {"x": "${-}"}}, ".$match.x", "a value is missing"),
        ({"$evl": "x"}, "", "$<identifier> is reserved"),
        ({"$eval": "x", "$if": "y"}, "", "only one operator allowed"),
        ({"${": 1}, ".${", "ends too early"),
        ({"a": datetime(2026, 1, 1, tzinfo=UTC)}, ".a", "JSON has no datetime; write it in quotes"),
        ({"a": float("inf")}, ".a", "inf is no JSON number"),
    ],
)
def test_what_is_wrong_whatever_the_values_are_is_told_with_its_place(template: Any, where: str, told: str) -> None:
    found = faults(template)
    assert [place for place, _ in found] == [where]
    assert told in found[0][1]


def test_every_fault_is_told() -> None:
    assert len(faults({"a": "${", "b": ["${", {"$eval": "x +"}], "c": {"$nope": 1}})) == 4


def test_a_template_nested_without_end_is_a_fault() -> None:
    deep: Any = "x"
    for _ in range(5000):
        deep = {"a": deep}
    assert faults(deep) == [("", "nested too deeply")]
    assert faults("${" + "(" * 50_000 + "}") == [("", "nested too deeply")]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.decimals(-(10**20), 10**20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
EXPRESSIONS = st.sampled_from(
    [
        "${a}",
        "x ${a['b']} ${a.b}",
        {"$eval": "a"},
        {"$eval": "a * 2 + a"},
        {"$if": "a", "then": {"$eval": "a[0]"}},
        {"$map": {"$eval": "a"}, "each(x)": "${x}"},
        {"$merge": [{"$eval": "a"}, {"${a}": 1}]},
        {"$sort": {"$eval": "a"}},
        {"$json": {"$eval": "a"}},
        {"$eval": "number(a)"},
        {"$eval": "range(a, a + 3)"},
        {"$eval": "fromNow(a)"},
        {"$eval": "join(a, a)"},
        {"$eval": "a ** 2"},
    ]
)


@given(template=EXPRESSIONS, value=JSON)
@settings(deadline=None, max_examples=300)
def test_whatever_the_values_are_it_is_rendered_to_json_or_fails_as_told(template: Any, value: Any) -> None:
    with suppress(TemplateFails):
        rendered = render({"it": template}, {"a": value, "now": "2026-01-01T00:00:00.000Z"})
        assert json.loads(dump(rendered, default=number)).keys() <= {"it"}


TEXT = st.text() | st.sampled_from(["{", "}", "$", "eval", "if", "(", "[", "'", '"', ",", ".", "x", "each(x)", "by(x)"])
TEMPLATES = st.recursive(
    st.lists(TEXT, max_size=5).map("".join) | st.lists(TEXT, max_size=5).map(lambda parts: "${" + "".join(parts) + "}"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["$eval", "$if", "then", "$map", "each(x)", "$sort", "by(x)", "$match", "$let", "in", "a"])
            | st.text(max_size=3),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


@given(TEMPLATES)
@settings(deadline=None, max_examples=300)
def test_no_template_makes_the_check_or_the_rendering_fall_over(template: Any) -> None:
    faults(template)
    with suppress(TemplateFails):
        render(template, {"x": 1})
