"""What an expression asks for, and which metrics there are to ask for."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

import promql_parser
from promql_parser import AggregateExpr, Expr, MatrixSelector, VectorSelector

GOLDEN: Final = Path(__file__).parents[1] / "golden"
OF_WORKERS_AND_DOORS: Final = ("metrics.txt", "door_metrics.txt")
OF_TARGETS: Final = frozenset({"namespace", "job", "pod", "process"})  # of every series, process with several of them
_SUFFIXES: Final = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}


@cache
def metrics() -> dict[str, frozenset[str]]:
    """The labels of each series' name."""
    kinds: dict[str, str] = {}
    found: dict[str, frozenset[str]] = {}
    text = "".join((GOLDEN / name).read_text() for name in OF_WORKERS_AND_DOORS)
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            kinds[name] = kind
        elif not line.startswith("#"):
            name, _, labels = line.rstrip("}").partition("{")
            for suffix in _SUFFIXES[kinds[name]]:
                own = {*filter(None, labels.split(",")), *(["le"] if suffix == "_bucket" else [])}
                found[name + suffix] = OF_TARGETS | own
    return found


@dataclass
class Asked:
    selectors: list[VectorSelector] = field(default_factory=list)
    aggregates: list[AggregateExpr] = field(default_factory=list)


def asked_by(expression: str) -> Asked:
    """ValueError where it isn't PromQL."""
    asked = Asked()

    def note(node: Expr) -> None:
        if isinstance(node, VectorSelector):
            asked.selectors.append(node)
        elif isinstance(node, MatrixSelector):
            asked.selectors.append(node.vector_selector)
        elif isinstance(node, AggregateExpr):
            asked.aggregates.append(node)

    promql_parser.walk(promql_parser.parse(expression), note)
    return asked


def faults(expression: str) -> Iterator[str]:
    """Metrics that there aren't, and labels that they don't have."""
    for selector in asked_by(expression).selectors:
        labels = metrics().get(str(selector.name))
        if labels is None:
            yield f"no metric {selector.name}"
            continue
        yield from (
            f"{selector.name} has no {each.name}" for each in selector.matchers.matchers if each.name not in labels
        )
    for aggregate in asked_by(expression).aggregates:
        inner = asked_by(aggregate.expr.prettify()).selectors
        for label in aggregate.modifier.labels if aggregate.modifier else []:
            yield from (
                f"{each.name} has no {label}" for each in inner if label not in metrics().get(str(each.name), ())
            )
