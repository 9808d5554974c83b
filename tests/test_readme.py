"""The README: its quick start is run as it stands there, other commands and the settings are held against the code."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from pydantic import BaseModel

from worker.cli.main import main
from worker.settings import FlowSettings, RouteSettings, Settings, load
from worker.settings.problems import fields_of

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.+?)\n```$", README, flags=re.MULTILINE | re.DOTALL)
LEAST, ALL_SETTINGS, *EXAMPLES = re.findall(r"^```toml\n(.+?)\n```$", README, flags=re.MULTILINE | re.DOTALL)
DEMO, TESTS = BLOCKS[:2]
COMMANDS = [line for block in BLOCKS[2:] for line in block.splitlines() if line.startswith("flowbridge ")]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project without what isn't under version control."""
    copy = tmp_path_factory.mktemp("fresh") / "flowbridge"
    ignored = shutil.ignore_patterns(
        ".git", ".venv", "node_modules", "__pycache__", ".*_cache", ".hypothesis", "*.egg-info"
    )
    shutil.copytree(ROOT, copy, ignore=ignored)
    return copy


def run(command: str, where: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "VIRTUAL_ENV"))}
    return subprocess.run(
        ["bash", "-c", command],
        cwd=where,
        env={**environment, **variables},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


@pytest.mark.timeout(600)
def test_the_quick_start_installs_and_runs_the_demo(checkout: Path) -> None:
    assert "\n" not in DEMO
    demo = run(DEMO, checkout)
    assert demo.returncode == 0, demo.stderr
    assert "answers were as expected" in demo.stdout


def test_the_test_command_is_what_every_change_is_checked_with() -> None:
    """In a fresh environment, where a second installation here would show nothing more."""
    assert "\n" not in TESTS
    steps = [step.replace(".venv/bin/", "").replace("-q ", "") for step in TESTS.split(" && ")]
    assert steps == ["python3 -m venv .venv", 'pip install -e ".[test]"', "pytest"]
    checked = (ROOT / ".ci" / "run").read_text().splitlines()
    assert [step for step in steps[1:] if step not in checked] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_exists_with_the_options_that_it_is_shown_with(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _, *words = shlex.split(command, comments=True)
    names = words[: 2 if words[0] == "dead-letters" else 1]
    arguments = words[len(names) :]
    assert main([*names, "--help"]) == 0
    told = capsys.readouterr().out
    assert [option for option in arguments if option.startswith("--") and option not in told] == []


def test_settings_are_shown_with_their_defaults(tmp_path: Path) -> None:
    (tmp_path / "least.toml").write_text(LEAST)
    (tmp_path / "all.toml").write_text(ALL_SETTINGS)
    least, shown = (load(tmp_path / name, {}) for name in ("least.toml", "all.toml"))
    assert shown.flow_specs() == least.flow_specs()
    assert shown.model_dump(exclude={"flows", "routes"}) == least.model_dump(exclude={"flows", "routes"})


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_of_settings_are_settings(example: str, tmp_path: Path) -> None:
    servicebus, _, _ = LEAST.partition("[[flows]]")
    (tmp_path / "example.toml").write_text(servicebus + example)
    assert load(tmp_path / "example.toml", {}).flow_specs()


def test_no_setting_is_left_out() -> None:
    tables = [*(field.default for field in Settings.model_fields.values()), FlowSettings(), RouteSettings().match]
    tables += [FlowSettings().retry, FlowSettings().breaker]
    keys = {key for table in tables if isinstance(table, BaseModel) for key in fields_of(type(table))}
    assert {key for key in keys if not re.search(rf"\b{key}\b", ALL_SETTINGS)} == set()
