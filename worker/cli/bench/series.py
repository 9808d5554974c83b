"""All rounds of all subjects, in turn."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from worker.cli.bench.cores import pin
from worker.cli.bench.figures import Calm, FullLoad
from worker.cli.bench.measuring import Measuring
from worker.cli.bench.report import Results
from worker.cli.bench.subjects import Missing, Subject, subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """`names`: of the subjects. `rates`: of the calm rows, which the last round adds. `tell`: a line for each round."""

    measuring: Measuring
    names: Sequence[str]
    rounds: int
    rates: Sequence[float]
    node_modules: Path | None
    tell: Callable[[str], None]

    async def run(self) -> Results:
        """Raises CommandFailed, in a group."""
        pin(self.measuring.cores.rest)
        found = [subject(name, self.node_modules) for name in self.names]
        here = [each for each in found if isinstance(each, Subject)]
        rounds: dict[str, list[FullLoad]] = {each.name: [] for each in here}
        calm: dict[str, list[Calm]] = {}
        for number in range(self.rounds):
            for each in here if number % 2 == 0 else reversed(here):  # whom a slow change of the machine favours
                rates = self.rates if each.is_calm and number == self.rounds - 1 else ()
                full_load, rows = await self.measuring.a_round(each, rates)
                rounds[each.name].append(full_load)
                if rates:
                    calm[each.name] = rows
                self.tell(f"{number + 1} of {self.rounds}  {each.name:10}  {_in_words(full_load)}")
        return Results(
            rounds=rounds,
            calm={each.name: calm[each.name] for each in here if each.name in calm},
            missing={each.name: each.why for each in found if isinstance(each, Missing)},
            sdks={each.name: each.sdk for each in here},
            cores=self.measuring.cores,
            options=self._options(),
        )

    def _options(self) -> dict[str, object]:
        measuring = self.measuring
        return {
            "count": measuring.count,
            "in_flight": measuring.in_flight,
            "sessions": measuring.sessions,
            "flow_delay_s": measuring.flow_delay_s,
            "round_trip_s": measuring.round_trip_s,
            "rounds": self.rounds,
            "rates": list(self.rates),
            "subjects": list(self.names),
        }


def _in_words(figures: FullLoad) -> str:
    return (
        f"{figures.requests_per_s:6,.0f} requests/s  {figures.cpu_ms_per_request:.2f} ms CPU each  "
        f"p50 {figures.p50_ms:.0f} ms  p99 {figures.p99_ms:.0f} ms"
    )
