"""From a file and an environment to settings, or to everything that is wrong with them."""

import tomllib
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

from pydantic import SecretStr, ValidationError

from worker.settings.environment import overlay
from worker.settings.model import FlowSettings, Settings
from worker.settings.problems import Path, Problem, SettingsInvalid, key_of, problems_of, table_at
from worker.settings.rules import broken_rules, broken_url

_MOUNTED_MAX_BYTES = 64 * 1024
_MOUNT_ONE_VALUE = "mount a file that holds the value and nothing else"


def load(config_path: FilePath | None, environ: Mapping[str, str], *, needs_flows: bool = True) -> Settings:
    """Raises SettingsInvalid. `needs_flows` is False for commands that only talk to the bus."""
    tree, problems = _file(config_path) if config_path is not None else ({}, [])
    is_whole = not problems
    refused, variables = overlay(tree, environ, Settings)
    problems += refused
    problems += _mounted_secrets(tree)
    settings, invalid = _validated(tree)
    wrong = [problem.key for problem in problems]
    if invalid is not None:
        problems += problems_of(invalid, Settings, variables)
        wrong += [key_of(error["loc"]) for error in invalid.errors()]

    def sound(*keys: str, is_whole: bool = False) -> bool:
        return not any(_is_within(key, bad) or (is_whole and _is_within(bad, key)) for key in keys for bad in wrong)

    if is_whole:
        problems += broken_rules(settings, sound, needs_flows=needs_flows)
    if problems:
        raise SettingsInvalid(problems)
    return settings


def mounted_url(flow: FlowSettings) -> tuple[str, str | None]:
    """What the flow's `url_file` holds now, and what is wrong with that."""
    text, fault = _mounted(FilePath(flow.url_file or ""))
    if fault is not None:
        return "", f"{fault}: {_MOUNT_ONE_VALUE}"
    moved = flow.model_copy(update={"url": SecretStr(text)})
    problem = next(broken_url(moved, flow.called, lambda *_: True), None)
    return text, None if problem is None else str(problem)


def _is_within(key: str, other: str) -> bool:
    return key == other or key.startswith((f"{other}.", f"{other}["))


def _file(path: FilePath) -> tuple[dict[str, Any], list[Problem]]:
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig")), []
    except OSError as failed:
        what, fix = f"can't be read: {failed.strerror}", "check the path and the rights of its folder"
    except UnicodeDecodeError as broken:
        what, fix = f"expected UTF-8, found another encoding at byte {broken.start}", "save the file as UTF-8"
    except RecursionError:
        what, fix = "isn't TOML that can be read: nested too deeply", "take out tables or lists inside each other"
    except ValueError as broken:  # tomllib's own error, and Python's for a number of thousands of digits
        what, fix = f"isn't TOML: {broken}", "correct that line"
    return {}, [Problem(key=str(path), what=what, fix=fix)]


def _validated(tree: dict[str, Any]) -> tuple[Settings, ValidationError | None]:
    """The settings; where keys are wrong, they are taken out, so that the rules can look at what the rest says."""
    try:
        return Settings.model_validate(tree), None
    except ValidationError as invalid:
        for error in invalid.errors():
            _take_out(tree, error["loc"])
        return Settings.model_validate(tree), invalid


def _take_out(tree: dict[str, Any], path: Path) -> None:
    """Remove a wrong value. A table of a list stays, emptied, so that the others keep their numbers."""
    holder: Any = tree
    for depth, part in enumerate(path):
        is_key = isinstance(part, str)
        if is_key and part not in holder:
            return  # gone with another one
        if depth == len(path) - 1 and is_key:
            del holder[part]
        elif depth == len(path) - 1:
            holder[part] = {}
        elif isinstance(path[depth + 1], int) and table_at(Settings, path[: depth + 2]) is None:
            del holder[part]  # a list of plain values goes as a whole
            return
        else:
            holder = holder[part]


def _mounted_secrets(tree: dict[str, Any]) -> list[Problem]:
    """Read `connection_string_file`, `url_file` and their like into the key that they stand for."""
    flows = tree.get("flows")
    places: list[tuple[Any, Path, str]] = [
        (tree.get("servicebus"), ("servicebus",), "connection_string"),
        (tree.get("http"), ("http",), "admin_token"),
        (tree.get("door"), ("door",), "secret"),
    ]
    if isinstance(flows, list):
        places += [(flow, ("flows", index), "url") for index, flow in enumerate(flows)]
    problems = []
    for table, path, name in places:
        file = table.get(f"{name}_file") if isinstance(table, dict) else None
        if isinstance(file, str) and file:
            key = key_of((*path, f"{name}_file"))
            if table.get(name):
                fix = f"keep {name} or {name}_file"
                problems.append(Problem(key=key, what=f"is given together with {name}", fix=fix))
                continue
            text, fault = _mounted(FilePath(file))
            if fault:
                problems.append(Problem(key=key, what=fault, fix=_MOUNT_ONE_VALUE))
            else:
                table[name] = text
    return problems


def _mounted(path: FilePath) -> tuple[str, str | None]:
    try:
        with path.open("rb") as file:
            text = file.read(_MOUNTED_MAX_BYTES).decode("utf-8-sig").strip()
    except OSError as failed:
        return "", f"{path} can't be read: {failed.strerror}"
    except UnicodeDecodeError as broken:
        return "", f"{path} isn't UTF-8 at byte {broken.start}"
    except ValueError:  # a null character in it
        return "", f"{str(path)!r} is no file's name"
    return text, None if text else f"{path} is empty"
