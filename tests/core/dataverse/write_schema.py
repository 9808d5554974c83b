"""Writes `context.schema.json` anew, after a change of the context's plain form."""

import json
from pathlib import Path

import worker.core.dataverse.schema as generated

FILE = Path(generated.__file__).with_name("context.schema.json")


def text() -> str:
    return json.dumps(generated.context_schema(), indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
