"""How long a context takes to read: its three forms at the size of 20 kB of JSON, and the worst that 1 MiB can hold.

python tests/bench/contexts.py
"""

import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import uuid4

sys.path.insert(0, str(Path(__file__).parents[1]))
from worker.core.dataverse.context import Entity, RemoteExecutionContext, Value
from worker.core.dataverse.document import ContextBroken
from worker.core.dataverse.event import recognised
from worker.core.dataverse.forms import MAX_BODY_BYTES, Form, read, write
from worker.core.dataverse.plain import plain_context, write_plain
from worker.core.dataverse.sample import Sample, sample

SIZE_BYTES: Final = 20_000
ROUNDS: Final = 300


def typical() -> RemoteExecutionContext:
    """An update with an image before and one after, as wide as makes 20 kB of JSON."""
    event = sample(Sample.UPDATE, at=datetime.now(UTC), new_id=uuid4)
    columns: dict[str, Value] = {}
    while len(write(event, Form.JSON)) < SIZE_BYTES:
        row = sample(Sample.CREATE_ACCOUNT, at=datetime.now(UTC), new_id=uuid4).input_parameters["Target"]
        assert isinstance(row, Entity)
        columns |= {f"{name}{len(columns)}": value for name, value in row.attributes.items()}
        wide = replace(row, attributes=columns)
        event = replace(
            event,
            input_parameters={"Target": wide},
            pre_entity_images={"before": wide},
            post_entity_images={"after": wide},
        )
    return event


def hostile() -> dict[str, bytes]:
    """Bodies of 1 MiB that make the most work or garbage of every byte."""
    head = b'{"MessageName":"x","Stage":1,"SharedVariables":[{"key":"a","value":'
    element = b"@\x01a"
    root = b"@\x16RemoteExecutionContext"
    sizes = {
        "JSON: empty lists": (head + b"[", b"[],", b"[]]}]}"),
        "JSON: empty objects": (head + b"[", b"{},", b"{}]}]}"),
        "JSON: lists inside each other": (head, b"[", b""),
        "JSON: one number": (head, b"9", b"}]}"),
        "XML: empty elements": (b"<RemoteExecutionContext>", b"<a/>", b"</RemoteExecutionContext>"),
        "XML: elements inside each other": (b"<RemoteExecutionContext>", b"<a>", b""),
        "XML: a billion laughs": (
            b'<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;&b;&b;">]><RemoteExecutionContext>',
            b"&c;",
            b"</RemoteExecutionContext>",
        ),
        "msbin1: empty elements": (root, element + b"\x01", b"\x01"),
        "msbin1: elements inside each other": (root, element, b""),
        "msbin1: texts of one byte": (root, b"\xa8", b"\x01"),
        "msbin1: comments": (root, b"\x02\x00", b"\x01"),
        "msbin1: an array": (root + b"\x03@\x03int\x01\x8b" + b"\x80\x80\x20", b"\x00", b""),
    }
    bodies = {
        name: begin + piece * ((MAX_BODY_BYTES - len(begin) - len(end)) // len(piece)) + end
        for name, (begin, piece, end) in sizes.items()
    }
    return {**bodies, "msbin1: one long string, many times": _repeated_string()}


def _repeated_string() -> bytes:
    """Its document refers to it in two bytes each time."""
    name, long_bytes = b"RemoteExecutionContext", MAX_BODY_BYTES // 2
    text = bytes([long_bytes & 0x7F | 0x80, long_bytes >> 7 & 0x7F | 0x80, long_bytes >> 14]) + b"x" * long_bytes
    table = bytes([len(name)]) + name + text
    size = bytes([len(table) & 0x7F | 0x80, len(table) >> 7 & 0x7F | 0x80, len(table) >> 14])
    return size + table + b"\x42\x01" + b"@\x01a\xab\x03" * (MAX_BODY_BYTES // 12) + b"\x01"


def milliseconds(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    taken = []
    for _ in range(rounds // 3):
        work()
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1000


def told(body: bytes) -> str:
    try:
        read(body)
    except ContextBroken as broken:
        return str(broken)
    return "read"


def main() -> None:
    event = typical()
    bodies = {form: write(event, form) for form in Form}
    for form, body in bodies.items():
        read_ms = milliseconds(lambda body=body: read(body))  # type: ignore[misc]  # bound to this round's body
        facts_ms = milliseconds(lambda body=body, form=form: recognised(body, form.content_type, {}))  # type: ignore[misc]  # likewise
        sys.stdout.write(f"{form:7} {len(body):6,} bytes: facts {facts_ms:.3f} ms, whole context {read_ms:.3f} ms\n")
    plain_ms = milliseconds(lambda: write_plain(plain_context(event)))
    sys.stdout.write(f"plain JSON from it: {plain_ms:.3f} ms\n\n")
    for name, body in hostile().items():
        hostile_ms = milliseconds(lambda body=body: told(body), rounds=3)  # type: ignore[misc]  # bound to this round's body
        tracemalloc.start()
        said = told(body)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        sys.stdout.write(f"{name:36} {hostile_ms:6.0f} ms, {peak / len(body):5.1f} times its size: {said:.90}\n")


if __name__ == "__main__":
    main()
