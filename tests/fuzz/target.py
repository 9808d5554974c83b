"""What is fuzzed: a name, a check that takes any bytes, and inputs to begin with."""

from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import strategies as st

from worker.core.redaction import redact


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """`check` raises where a promise is broken, and only there.

    `made`: inputs that know the format; `tokens`: what mutations put in; `covers`: whose lines guide the search, as the
    beginnings of paths below `worker`.
    """

    name: str
    check: Callable[[bytes], None]
    made: st.SearchStrategy[bytes]
    covers: tuple[str, ...]
    tokens: tuple[bytes, ...] = ()


def assert_fit_to_say(text: str) -> None:
    """What a person, a log or a dead letter may be told: something, in characters that can be sent, and no secret."""
    assert text.strip(), "an error says nothing"
    text.encode()
    assert redact(text) == text, f"an error shows a secret: {text!r}"
