"""A running worker, and what can be read of it: its readiness, its status document, its facts for Prometheus."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from worker.bridge.places import Places
from worker.bridge.pump import Pump
from worker.core.readiness import Readiness, readiness
from worker.core.recent import Told, flow_summary, history
from worker.flow.token import Credential
from worker.metrics.exposition import Registry
from worker.metrics.facts import WorkerFacts
from worker.metrics.requests import NO_FLOW
from worker.observing import Observing
from worker.release import release
from worker.servicebus.replies import ReplyOutbox
from worker.upkeep import Upkeep


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """For who started it to look at. `began_at` in epoch seconds."""

    pump: Pump
    upkeep: Upkeep
    replies: ReplyOutbox
    places: Places
    observing: Observing
    registry: Registry
    began_at: float

    @property
    def readiness(self) -> Readiness:
        facts = self.pump.facts
        return readiness(
            is_draining=facts.is_stopping,
            is_paused=facts.is_paused,
            lanes_receiving=facts.lanes_receiving,
            bus_failure=facts.failure,
            token_failure=_missing_token(self.upkeep.credential),
            loop_failure=self.upkeep.lag.failure(_now()),
        )

    @property
    def status(self) -> dict[str, object]:
        """All but the last minutes' requests."""
        upkeep, ready = self.upkeep, self.readiness
        fleet, held = upkeep.fleet, self.places.held
        return {
            "version": release(),
            "at": time.time(),
            "uptime_s": time.time() - self.began_at,
            "ready": ready.is_ready,
            "reasons": ready.reasons,
            "pump": asdict(self.pump.facts),
            "flows": [
                {"name": name, **asdict(facts), "held": held(name)} for name, facts in upkeep.client.facts().items()
            ],
            "fleet": {"workers": fleet.workers, "counted_by": fleet.name, "failure": fleet.failure},
            "tokens": [asdict(state) for state in upkeep.credential.states()],
            "replies": {queue: asdict(facts) for queue, facts in self.replies.facts().items()},
            "loop_lag_s": upkeep.lag.worst_s(_now()),
        }

    @property
    def facts(self) -> WorkerFacts:
        upkeep, now = self.upkeep, _now()
        return WorkerFacts(
            is_ready=self.readiness.is_ready,
            pump=self.pump.facts,
            flows=upkeep.client.facts(),
            tokens=upkeep.credential.states(),
            replies=self.replies.facts(),
            workers=upkeep.fleet.workers,
            loop_lag_s=upkeep.lag.worst_s(now),
            wait_used=self.observing.wait_used.ratio(now),
        )

    def steer(self, flow: str, *, is_isolated: bool) -> bool:
        """Keep a flow from being called, or let it be called anew; False where there is none of that name."""
        client = self.upkeep.client
        if flow not in client.facts():
            return False
        (client.isolate if is_isolated else client.reset)(flow)
        return True


def with_recent(status: Mapping[str, Any], recents: Sequence[Told], *, is_steerable: bool) -> dict[str, object]:
    """The whole status document, of what one worker or its processes tell."""
    at = time.time()
    return {
        **status,
        "flows": [{**flow, **flow_summary(recents, flow["name"], at)} for flow in status["flows"]],
        "unrouted": flow_summary(recents, NO_FLOW, at),
        "history": history(recents, at),
        "steerable": is_steerable,
    }


def _missing_token(credential: Credential) -> str | None:
    missing = [state for state in credential.states() if not state.usable_s]
    failures = (state.failure for state in missing if state.failure is not None)
    return next(failures, f"the one for {missing[0].scope} is being asked for" if missing else None)


def _now() -> float:
    return asyncio.get_running_loop().time()
