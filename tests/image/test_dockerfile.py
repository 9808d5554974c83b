"""What can be said of the image without building it."""

import re
import subprocess
import sysconfig
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sysconfig.get_path("scripts")) / "hadolint"
    found = subprocess.run([hadolint, "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, "")


def test_the_base_is_pinned_by_digest() -> None:
    assert re.search(r"^ARG BASE=\S+@sha256:[0-9a-f]{64}$", DOCKERFILE, flags=re.MULTILINE)


def test_the_image_is_labelled_as_the_project_says() -> None:
    assert f"\nARG VERSION={PROJECT['version']}\n" in DOCKERFILE
    assert f'image.description="{PROJECT["description"]}"' in DOCKERFILE
    assert f'image.licenses="{PROJECT["license"]}"' in DOCKERFILE


def test_the_lock_has_what_the_project_needs() -> None:
    """Where it doesn't: run the command that stands at its top, with uv from PyPI."""
    lock = (ROOT / ".image/runtime.txt").read_text()
    locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock, flags=re.MULTILINE))
    needed = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"].get("otel", [])]
    missing = [text for text in needed if not _is_met(Requirement(text), locked)]
    assert missing == []


def _is_met(needed: Requirement, locked: dict[str, str]) -> bool:
    version = locked.get(canonicalize_name(needed.name))
    return version is not None and needed.specifier.contains(version, prereleases=True)
