"""JSON Schema files, read and compiled when the settings are."""

from pathlib import Path
from typing import Any, Final

from worker.core.json_schema import SchemaBroken, compile_schema

_MOST_BYTES: Final = 1024 * 1024


def read_schema(name: Any) -> Any:
    """The schema in the file of that name; None for an empty one. Raises ValueError with what is wrong."""
    if name == "":
        return None
    if not isinstance(name, str):
        raise ValueError("expected the name of a file")  # noqa: TRY004 - pydantic takes a ValueError
    try:
        with Path(name).open("rb") as file:
            document = file.read(_MOST_BYTES + 1)
    except OSError as failed:
        raise ValueError(f"{name} can't be read: {failed.strerror}") from None
    except ValueError:  # a null character in it
        raise ValueError(f"{name!r} is no file's name") from None
    if len(document) > _MOST_BYTES:
        raise ValueError(f"{name} has more than {_MOST_BYTES:,} bytes")
    try:
        return compile_schema(document)
    except SchemaBroken as broken:
        raise ValueError(f"{name}: {broken}") from None
