"""The parts of a message as arguments give them."""

import sys
from collections.abc import Mapping
from pathlib import Path

import typer


def body_of(text: str) -> bytes:
    """The text itself, `@` a file, or `-` for stdin."""
    if text == "-":
        return sys.stdin.buffer.read()
    if not text.startswith("@"):
        return text.encode(errors="surrogateescape")
    try:
        return Path(text[1:]).read_bytes()
    except OSError as failed:
        raise typer.BadParameter(f"{text[1:]}: {failed.strerror}", param_hint="--body") from None


def properties_of(pairs: list[str], *, options: Mapping[str, str]) -> dict[str, str]:
    """`options`: of the properties that an option of their own sets."""
    found = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not name or not separator:
            raise typer.BadParameter(f"expected NAME=VALUE, got {pair!r}", param_hint="--property")
        if name in options:
            raise typer.BadParameter(f"{name} is set with {options[name]}", param_hint="--property")
        found[name] = value
    return found
