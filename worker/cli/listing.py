"""Flows in a sentence: a few by name, the others by their number."""

from collections.abc import Sequence
from typing import Final

FLOWS_NAMED: Final = 3


def some_of(flows: Sequence[str]) -> str:
    """Each as it is to be named."""
    told, more = ", ".join(flows[:FLOWS_NAMED]), len(flows) - FLOWS_NAMED
    return told if more <= 0 else f"{told} and {more} more {'flow' if more == 1 else 'flows'}"
