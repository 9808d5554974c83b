"""What can be wrong with the conditions of a route, also deep inside them."""

from pathlib import Path

import pytest

from worker.settings import SettingsInvalid, load

HEAD = """
[servicebus]
namespace = "contoso.servicebus.windows.net"
[[flows]]
name = "a"
url = "https://a.example.com/"
"""


def problems(tmp_path: Path, text: str) -> dict[str, str]:
    file = tmp_path / "flowbridge.toml"
    file.write_text(HEAD + text)
    with pytest.raises(SettingsInvalid) as caught:
        load(file, {})
    return {problem.key: f"{problem.what}. {problem.fix}" for problem in caught.value.problems}


def nested(times: int) -> str:
    return "{ not = " * times + '{ table = "account" }' + " }" * times


@pytest.mark.parametrize(
    ("match", "key", "what"),
    [
        ("{ any = [{ stage = 40 }, { table = 3 }] }", "any[1].table", "expected a string, got 3"),
        ('{ any = [{ stage = 40 }, { tabel = "x" }] }', "any[1].tabel", "did you mean table?"),
        ('{ not = { any = [{ not = { stage = "x" } }] } }', "not.any[0].not.stage", "expected an integer, got 'x'"),
        ('{ not_ = { table = "x" } }', "not_", "did you mean not?"),
        ("{ unless = {} }", "unless", "no such key"),
        ("{ not = [] }", "not", 'write for example not = { table = "account" }'),
        ("{ any = { stage = 40 } }", "any", 'write for example any = [{ table = "account" }]'),
        ("{ any = [3] }", "any[0]", "expected a table, got 3"),
        ("{ any = [] }", "any", "expected at least one match, got none"),
        ("{ any = [{ stage = 40 }, {}] }", "any[1]", "which holds for every request"),
        ("{ any = [{ changed = [] }] }", "any[0]", "which holds for every request"),
        ("{ not = {} }", "not", "which holds for every request"),
        ("{ not = { any = [{ not = {} }] } }", "not.any[0].not", "which holds for every request"),
        ('{ custom_api = "Update" }', "custom_api", "publisher's prefix and an underscore, got 'Update'"),
        ('{ any = [{ custom_api = "_Update" }] }', "any[0].custom_api", "can never match"),
        ('{ user = "ann@contoso.com" }', "user", "expected an id (a GUID), got 'ann@contoso.com'"),
        ('{ initiating_user = "{1}" }', "initiating_user", "expected an id"),
        (
            '{ changed = "name" }',
            "changed",
            "expected a list, got 'name'. write for example changed = [\"creditlimit\"]",
        ),
        ('{ present = ["name", ""] }', "present[1]", "isn't empty"),
        ("{ depth = 1.5 }", "depth", "expected an integer"),
    ],
)
def test_a_wrong_condition_is_told_with_its_place(tmp_path: Path, match: str, key: str, what: str) -> None:
    found = problems(tmp_path, f'[[routes]]\nflow = "a"\nmatch = {match}')
    assert list(found) == [f"routes[0].match.{key}"]
    assert what in found[f"routes[0].match.{key}"]


def test_everything_wrong_inside_one_match_is_told_at_once(tmp_path: Path) -> None:
    match = '{ custom_api = "x", any = [{}, { tabel = "x" }, { stage = "x" }], not = { any = [] } }'
    assert set(problems(tmp_path, f'[[routes]]\nflow = "b"\nmatch = {match}')) == {
        "routes[0].flow",
        "routes[0].match.custom_api",
        "routes[0].match.any[0]",
        "routes[0].match.any[1].tabel",
        "routes[0].match.any[2].stage",
        "routes[0].match.not.any",
    }


def test_eight_matches_may_be_inside_each_other(tmp_path: Path) -> None:
    file = tmp_path / "flowbridge.toml"
    file.write_text(f'{HEAD}[[routes]]\nflow = "a"\nmatch = {nested(7)}')
    assert len(load(file, {}).routes) == 1


def test_a_ninth_is_told(tmp_path: Path) -> None:
    found = problems(tmp_path, f'[[routes]]\nflow = "a"\nmatch = {nested(8)}')
    assert list(found) == ["routes[0].match"]
    assert "expected at most 8 matches inside each other (any, not), got more" in found["routes[0].match"]


@pytest.mark.parametrize(
    ("variable", "value", "key"),
    [
        ("ROUTES", '[{"match": ' + '{"not": ' * 900 + "{}" + "}" * 900 + "}]", "routes[0].match"),
        ("ROUTES__0__MATCH__" + "NOT__" * 700 + "TABLE", "x", "routes[0].match"),
        ("HTTP", '{"x": ' + "[" * 900 + "]" * 900 + "}", "http.x"),
    ],
)
def test_no_depth_makes_loading_fall_over(variable: str, value: str, key: str) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        load(None, {f"FLOWBRIDGE_{variable}": value})
    assert key in {problem.key for problem in caught.value.problems}


@pytest.mark.parametrize(
    ("text", "key", "what"),
    [
        ("max_depth = 0", "max_depth", "at least 1"),
        ('organizations = "contoso"', "organizations", 'write for example organizations = ["contoso"]'),
        ('organizations = [""]', "organizations[0]", "isn't empty"),
        ("organisations = []", "organisations", "did you mean organizations?"),
    ],
)
def test_what_is_wrong_with_the_events_that_are_taken_is_told(tmp_path: Path, text: str, key: str, what: str) -> None:
    found = problems(tmp_path, f"[dataverse]\n{text}")
    assert list(found) == [f"dataverse.{key}"]
    assert what in found[f"dataverse.{key}"]
