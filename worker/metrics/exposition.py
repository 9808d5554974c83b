"""The registry as a scraper reads it, and as one process tells it to another."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from prometheus_client import CollectorRegistry, Metric, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from worker.admin.surface import Exposition

PROCESS: Final = "process"  # the label that tells the series of several processes apart

Registry: TypeAlias = CollectorRegistry  # for who holds one

Told: TypeAlias = Sequence[Sequence[Any]]  # families, as JSON can say them

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series beside each, that nobody asks for


def registry_of_process() -> CollectorRegistry:
    """With what the operating system tells of this process."""
    registry = CollectorRegistry()
    ProcessCollector(namespace="flowbridge", registry=registry)
    return registry


def registry_of_processes(read: Callable[[], Mapping[int, Told]]) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(_Together(read))
    return registry


def exposition(registry: CollectorRegistry, accept: str) -> Exposition:
    """OpenMetrics, with exemplars, for who asks for it."""
    try:
        encode, content_type = choose_encoder(accept)
    except (TypeError, ValueError):  # it asks for a version that is none
        encode, content_type = choose_encoder("")
    return Exposition(body=encode(registry), content_type=content_type)


def told(registry: CollectorRegistry) -> Told:
    return [
        [
            metric.name,
            metric.documentation,
            metric.type,
            [
                [
                    sample.name,
                    sample.labels,
                    sample.value if math.isfinite(sample.value) else str(sample.value),
                    None if sample.exemplar is None else list(sample.exemplar),
                ]
                for sample in metric.samples
            ],
        ]
        for metric in registry.collect()
    ]


class _Together(Collector):
    """Not added up: a process that starts again begins from zero, which a sum would hide."""

    def __init__(self, read: Callable[[], Mapping[int, Told]]) -> None:
        self._read = read

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for process, own in self._read().items():
            for name, documentation, kind, samples in own:
                family = families.setdefault(name, Metric(name, documentation, kind))
                for sample, labels, value, exemplar in samples:
                    labelled = {**labels, PROCESS: str(process)}
                    family.add_sample(
                        sample, labelled, float(value), exemplar=None if exemplar is None else Exemplar(*exemplar)
                    )
        yield from families.values()
