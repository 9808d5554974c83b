"""What may be misspelt in a choice. A sender may dead-letter with reasons of its own, so nothing is refused."""

from collections.abc import Collection, Iterable

from worker.core.dead_letters.letter import Letter
from worker.core.dead_letters.running import KNOWN_REASONS
from worker.core.dead_letters.selection import Selection
from worker.settings.problems import did_you_mean


def hints(selection: Selection, letters: Iterable[Letter], flows: Collection[str]) -> list[str]:
    """Of what is neither known nor found. `flows`: of the settings."""
    found = list(letters)
    reasons = {reason.casefold() for reason in KNOWN_REASONS} | {(each.reason or "").casefold() for each in found}
    known_flows = {*flows, *(each.flow for each in found)}
    lines = [
        f"--reason {reason}: neither the worker nor the broker gives this reason; {did_you_mean(reason, KNOWN_REASONS)}"
        for reason in selection.reasons
        if reason.casefold() not in reasons
    ]
    if flows:
        lines += [
            f"--flow {flow}: the settings have no such flow; {did_you_mean(flow, flows)}"
            for flow in selection.flows
            if flow not in known_flows
        ]
    return lines
