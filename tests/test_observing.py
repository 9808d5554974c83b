"""What becomes of a record, whatever it holds and whoever fails on it."""

import asyncio
from collections.abc import MutableMapping
from dataclasses import replace
from typing import Any

import orjson
import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs
from support.loggers import reset_loggers
from support.observed import ANSWERED

from worker.bridge.observed import Observed, Times
from worker.core.outcome import HeldBack, Outcome
from worker.core.recent import Recent
from worker.core.wait_used import WaitUsed
from worker.metrics.requests import RequestMetrics
from worker.observing import Observing

FLOW = "credit-check"


class Looks:
    """Everyone who looks at a record; the `failing` one raises instead."""

    def __init__(self, failing: str = "nobody") -> None:
        self._failing = failing
        self.seen: list[str] = []
        self.registry = CollectorRegistry()
        self.observing = Observing(
            log=lambda _: self._look("log"),
            metrics=RequestMetrics(self.registry, [FLOW]),
            recent=Recent(),
            wait_used=WaitUsed(),
            takes_more=self._takes_more,
            trace=lambda _: self._look("trace"),
        )

    def _look(self, name: str) -> None:
        self.seen.append(name)
        if name == self._failing:
            raise ZeroDivisionError("ours")

    def _takes_more(self, _flow: str) -> bool:
        self._look("wait")
        return True

    @property
    def counted(self) -> float | None:
        return self.registry.get_sample_value("flowbridge_requests_total", {"flow": FLOW, "outcome": "answered"})

    def failure(self, observed: Observed) -> MutableMapping[str, Any]:
        self.observing.note(observed)
        (failure,) = self.observing.recent.told()[observed.flow or "(none)"]["failures"]
        orjson.dumps(failure)
        return dict(failure)


@pytest.mark.parametrize("failing", ["log", "wait", "trace"])
async def test_who_fails_on_a_record_stops_neither_the_lane_nor_the_others(failing: str) -> None:
    reset_loggers()
    looks = Looks(failing)
    with capture_logs() as log:
        looks.observing.note(ANSWERED)
    assert looks.seen == ["log", "wait", "trace"]
    assert looks.counted == 1
    assert [(line["event"], line["request_id"]) for line in log] == [("observing_failed", "r-1")]


async def test_a_failure_is_shown_without_secrets() -> None:
    defect = "InvalidURL: https://x.logic.azure.com/invoke?sp=x&sig=TOPSECRET"
    assert "TOPSECRET" not in str(Looks().failure(replace(ANSWERED, outcome=None, defect=defect)))


async def test_of_a_failure_no_more_is_kept_than_can_be_shown() -> None:
    """Whatever a sender puts into its ids, and however much a defect has to say."""
    ids = {"request_id": "i" * 60_000, "run_id": "r" * 60_000}
    odd = replace(ANSWERED, **ids, outcome=Outcome.INDETERMINATE, detail="d\ud800\n" * 60_000)  # type: ignore[arg-type]
    assert len(orjson.dumps(Looks().failure(odd))) < 1_000


def test_what_our_own_limits_hold_back_is_no_error_of_the_flow() -> None:
    looks = Looks()
    held = replace(ANSWERED, outcome=Outcome.UNAVAILABLE, held_back=HeldBack.PLACE, detail="All slots are taken.")
    looks.observing.note(held)
    assert looks.observing.recent.told()[FLOW]["failures"] == []


COPIED = replace(ANSWERED.times, first_enqueued_at=90.0)


@pytest.mark.parametrize(
    ("times", "reply_to", "took_s"),
    [
        (ANSWERED.times, "flow-replies", 1.25),
        (ANSWERED.times, None, 1.75),
        (COPIED, "flow-replies", 11.25),
        (COPIED, None, 11.75),
        (replace(COPIED, replied_at=None), "flow-replies", None),
    ],
)
def test_the_page_shows_how_long_the_caller_waited_since_the_first_enqueueing(
    times: Times, reply_to: str | None, took_s: float | None
) -> None:
    looks, expected = Looks(), Recent()
    looks.observing.note(replace(ANSWERED, times=times, reply_to=reply_to))
    expected.note(FLOW, "answered", took_s=took_s, at=0.0)
    assert looks.observing.recent.told()[FLOW]["steps"][0][2] == expected.told()[FLOW]["steps"][0][2]


def test_the_metric_counts_what_went_by_before_a_copy_and_the_queue_wait_is_the_deliverys() -> None:
    looks = Looks()
    looks.observing.note(replace(ANSWERED, times=COPIED))
    sums = [
        looks.registry.get_sample_value(f"flowbridge_{name}_seconds_sum", {"flow": FLOW})
        for name in ("critical_time", "queue_wait", "reply_slack")
    ]
    assert sums == [11.25, 0.25, 8.75]


@pytest.mark.parametrize("again", [{"delivery_count": 1}, {"delivery_attempt": 1}])
async def test_only_the_first_wait_of_a_request_asks_for_workers(again: dict[str, Any]) -> None:
    first, later = Looks(), Looks()
    now = asyncio.get_running_loop().time()
    waited = replace(ANSWERED, times=replace(ANSWERED.times, enqueued_at=0.0, started_at=5.0, deadline=10.0))
    first.observing.note(waited)
    later.observing.note(replace(waited, **again))
    assert first.observing.wait_used.ratio(now) > 0
    assert later.observing.wait_used.ratio(now) == 0
