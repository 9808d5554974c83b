"""What a flow gets: templates, query and schemas in the settings."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from worker.core.flow_spec import FlowSpec
from worker.core.json_schema import compile_schema
from worker.settings import Settings, SettingsInvalid, load, mounted_url

BUS = '[servicebus]\nnamespace = "contoso.servicebus.windows.net"\n'
SIGNED = '[[flows]]\nname = "a"\nauth = "sas"\nurl = "https://a.example.com/run?api-version=1&Kind=x&sig=s"\n'

Load: TypeAlias = Callable[..., Settings]


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """One flow with a signed URL and what is given of it. Schema files lie beside."""
    monkeypatch.chdir(tmp_path)

    def read(flow: str, **variables: str) -> Settings:
        file = tmp_path / "flowbridge.toml"
        file.write_text(f"{BUS}{SIGNED}{flow}")
        return load(file, {f"FLOWBRIDGE_FLOWS__0__{name}": value for name, value in variables.items()})

    return read


@pytest.fixture
def spec(read: Load) -> Callable[..., FlowSpec]:
    return lambda flow, **variables: read(flow, **variables).flow_specs()["a"]


@pytest.fixture
def problems(read: Load) -> Callable[..., dict[str, str]]:
    def found(flow: str, **variables: str) -> dict[str, str]:
        with pytest.raises(SettingsInvalid) as caught:
            read(flow, **variables)
        return {problem.key: f"{problem.what}. {problem.fix}" for problem in caught.value.problems}

    return found


class TestTemplate:
    def test_it_is_a_table(self, spec: Callable[..., FlowSpec]) -> None:
        flow = spec('[flows.body_template]\nname = "${target.name}"\nlines = [{ "$eval" = "stage" }, 1, 1.5, true]')
        assert flow.body_template == {"name": "${target.name}", "lines": [{"$eval": "stage"}, 1, 1.5, True]}

    def test_it_can_come_from_the_environment_as_json(self, spec: Callable[..., FlowSpec]) -> None:
        template = {"$merge": [{"$eval": "target"}, {"x": 1}]}
        assert spec("", BODY_TEMPLATE=json.dumps(template)).body_template == template

    def test_with_body_it_is_a_problem(self, problems: Callable[..., dict[str, str]]) -> None:
        found = problems('body = "context"\nbody_template = { a = 1 }')
        assert found == {"flows[0].body_template": "is given together with body. keep one of them"}

    @pytest.mark.parametrize(
        ("template", "key", "what"),
        [
            ('{ a = [{ b = "${target.}" }] }', "a[0].b", "${target.}"),
            ('{ a = "${x" }', "a", "expected }, found the end"),
            ('{ "$if" = "x >", then = 1 }', "$if", "Unexpected end of input"),
            ('{ a = { "$iff" = "x" } }', "a", "is reserved"),
            ("{ a = 2026-01-31 }", "a", "JSON has no date; write it in quotes"),
            ("{ a = nan }", "a", "nan is no JSON number"),
        ],
    )
    def test_what_is_wrong_with_it_is_told_with_its_key(
        self, problems: Callable[..., dict[str, str]], template: str, key: str, what: str
    ) -> None:
        found = problems(f"body_template = {template}")
        assert list(found) == [f"flows[0].body_template.{key}"]
        assert what in found[f"flows[0].body_template.{key}"]
        assert "JSON-e" in found[f"flows[0].body_template.{key}"]

    def test_another_kind_of_value_is_a_problem(self, problems: Callable[..., dict[str, str]]) -> None:
        told = problems('body_template = "${target}"')["flows[0].body_template"]
        assert "expected a table, got '${target}'. write for example body_template = { account = \"${target" in told


class TestQuery:
    def test_numbers_and_booleans_may_stand_without_quotes(self, spec: Callable[..., FlowSpec]) -> None:
        flow = spec('query = { name = "${target.name}", top = 5, ratio = 0.5, all = true }')
        assert flow.query == (("name", "${target.name}"), ("top", "5"), ("ratio", "0.5"), ("all", "true"))

    def test_one_parameter_can_come_from_the_environment(self, spec: Callable[..., FlowSpec]) -> None:
        assert spec("", QUERY__NAME="${target.name}").query == (("name", "${target.name}"),)

    @pytest.mark.parametrize(
        ("name", "what"),
        [
            ("sig", "the trigger's own"),
            ("SIG", "the trigger's own"),
            ("sv", "the trigger's own"),
            ("sp", "the trigger's own"),
            ("api-version", "the trigger's own"),
            ("code", "the trigger's own"),
            ("kind", "the URL already has"),
            ("Kind", "the URL already has"),
            ('""', "a parameter's name, got none"),
        ],
    )
    def test_a_name_that_is_not_free_is_a_problem(
        self, problems: Callable[..., dict[str, str]], name: str, what: str
    ) -> None:
        found = problems(f'query = {{ {name} = "x", fine = "y" }}')
        name = name.strip('"')
        assert list(found) == [f"flows[0].query.{name}"]
        assert what in found[f"flows[0].query.{name}"]

    def test_a_mounted_url_is_held_against_it_as_well(self, read: Load, tmp_path: Path) -> None:
        (tmp_path / "url").write_text("https://a.example.com/?sig=s")
        file = tmp_path / "other.toml"
        file.write_text(f'{BUS}[[flows]]\nauth = "sas"\nurl_file = "{tmp_path / "url"}"\nquery = {{ region = "x" }}')
        [flow] = load(file, {}).flows
        (tmp_path / "url").write_text("https://a.example.com/?Region=y&sig=t")
        _, problem = mounted_url(flow)
        assert problem is not None
        assert "the URL already has a parameter of that name" in problem

    @pytest.mark.parametrize(
        ("query", "key", "what"),
        [
            ('{ a = "${x" }', "flows[0].query.a", "expected }, found the end"),
            ("{ a = [1] }", "flows[0].query.a", "expected a string, got a list"),
            ('"a=b"', "flows[0].query", "expected a table"),
        ],
    )
    def test_what_is_wrong_with_a_value_is_told_with_its_key(
        self, problems: Callable[..., dict[str, str]], query: str, key: str, what: str
    ) -> None:
        assert what in problems(f"query = {query}")[key]

    def test_it_stays_out_of_what_is_printed(self, spec: Callable[..., FlowSpec]) -> None:
        assert "TOPSECRET" not in repr(spec('query = { key = "TOPSECRET" }'))


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("given", ['body = "context"', 'body = "target"', "body_template = {a = 1}"])
def test_a_body_for_a_method_that_sends_none_is_a_problem(
    problems: Callable[..., dict[str, str]], method: str, given: str
) -> None:
    key = f"flows[0].{given.partition(' ')[0]}"
    found = problems(f'method = "{method}"\n{given}')
    assert list(found) == [key]
    assert f"a {method} sends no body. remove it" in found[key]


class TestSchemas:
    def test_they_are_read_and_compiled(self, spec: Callable[..., FlowSpec], tmp_path: Path) -> None:
        (tmp_path / "answer.json").write_bytes(b'{"type": "object"}')
        (tmp_path / "request.json").write_bytes(b'{"type": "array"}')
        flow = spec(f'answer_schema = "answer.json"\nrequest_schema = "{tmp_path / "request.json"}"')
        assert flow.answer_schema == compile_schema(b'{"type": "object"}')
        assert flow.request_schema == compile_schema(b'{"type": "array"}')

    def test_an_empty_name_is_none(self, spec: Callable[..., FlowSpec]) -> None:
        assert spec('answer_schema = ""').answer_schema is None

    def test_the_name_can_come_from_the_environment(self, spec: Callable[..., FlowSpec], tmp_path: Path) -> None:
        (tmp_path / "s.json").write_bytes(b"{}")
        assert spec("", ANSWER_SCHEMA="s.json").answer_schema == compile_schema(b"{}")

    @pytest.mark.parametrize(
        ("document", "what"),
        [
            (None, "s.json can't be read: No such file or directory"),
            (b"", "s.json: not JSON at byte 0"),
            (b"{,}", "s.json: not JSON at byte 1"),
            (b"\xff", "s.json: expected UTF-8, found byte 0xff at byte 0"),
            (b"[]", "s.json: expected a JSON object"),
            (b'{"type": 7}', "s.json: no JSON Schema at /type"),
            (b'{"$ref": "https://example.com/x"}', "not https://example.com/x"),
            (b" " * 2_000_000, "s.json has more than 1,048,576 bytes"),
        ],
    )
    @pytest.mark.parametrize("key", ["request_schema", "answer_schema"])
    def test_a_file_that_is_no_schema_is_a_problem(
        self, problems: Callable[..., dict[str, str]], tmp_path: Path, key: str, document: bytes | None, what: str
    ) -> None:
        if document is not None:
            (tmp_path / "s.json").write_bytes(document)
        found = problems(f'{key} = "s.json"')
        assert list(found) == [f"flows[0].{key}"]
        assert what in found[f"flows[0].{key}"]

    @pytest.mark.parametrize(
        ("name", "what"), [("7", "expected the name of a file"), ('"\\u0000"', "is no file's name")]
    )
    def test_what_names_no_file_is_a_problem(
        self, problems: Callable[..., dict[str, str]], name: str, what: str
    ) -> None:
        assert what in problems(f"answer_schema = {name}")["flows[0].answer_schema"]

    def test_one_for_a_body_that_is_not_sent_is_a_problem(
        self, problems: Callable[..., dict[str, str]], tmp_path: Path
    ) -> None:
        (tmp_path / "s.json").write_bytes(b"{}")
        assert list(problems('method = "GET"\nrequest_schema = "s.json"')) == ["flows[0].request_schema"]
