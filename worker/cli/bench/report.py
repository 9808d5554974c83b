"""All that was measured: its figures by name, and as one JSON object."""

import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from worker.cli.bench.cores import Cores
from worker.cli.bench.figures import Calm, FullLoad, Ratio, medians, ratio_of

OURS: Final = "worker"
PYTHON: Final = platform.python_version()
SYSTEM: Final = f"{platform.system()} {platform.machine()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """By subject: its rounds, its calm rows, why one couldn't be run, and the `sdks` that they speak with."""

    rounds: Mapping[str, Sequence[FullLoad]]
    calm: Mapping[str, Sequence[Calm]]
    missing: Mapping[str, str]
    sdks: Mapping[str, str]
    cores: Cores
    options: Mapping[str, object]

    @property
    def full_load(self) -> dict[str, FullLoad]:
        return {name: medians(rounds) for name, rounds in self.rounds.items()}

    @property
    def ratios(self) -> dict[str, Ratio]:
        """Of the worker to every other, by the other's name."""
        ours = self.rounds.get(OURS)
        if ours is None:
            return {}
        return {name: ratio_of(ours, theirs) for name, theirs in self.rounds.items() if name != OURS}


def as_json(results: Results) -> dict[str, Any]:
    """What this system doesn't tell is None."""
    return {
        **{name: _plain(asdict(figures)) for name, figures in results.full_load.items()},
        "calm": {name: {f"{each.per_s:g}": _row(each) for each in rows} for name, rows in results.calm.items()},
        "ratios": {f"{OURS}_to_{name}": _plain(asdict(ratio)) for name, ratio in results.ratios.items()},
        "missing": dict(results.missing),
        "machine": {
            "python": PYTHON,
            "system": SYSTEM,
            "cores": os.cpu_count(),
            "pinned": asdict(results.cores),
            "sdks": dict(results.sdks),
        },
        "options": dict(results.options),
    }


def _row(calm: Calm) -> dict[str, float | None]:
    return {name: value for name, value in _plain(asdict(calm)).items() if name != "per_s"}


def _plain(figures: dict[str, float]) -> dict[str, float | None]:
    """Three places are more than a measurement means."""
    return {name: None if math.isnan(value) else round(value, 3) for name, value in figures.items()}
