"""Five flows in trouble at once: every caller is told, no run is started twice, and the healthy flow stays healthy.

How fast it stays is shown by `python tests/bench/storm.py`.
"""

from collections import Counter

from support.house import REQUESTS, House
from support.storm import DYING, HANGING, HEALTHY, NAMES, SLOW, THROTTLING, Weather, dead, queued, storm, storm_flows

WEATHER = Weather(
    seconds=6.0, slow_s=1.0, hang_timeout_s=1.5, caller_timeout_s=5.0, breaker_open_s=0.5, healthy_per_s=10.0
)


async def test_a_storm_hurts_only_whom_it_must(house: House) -> None:
    async with storm_flows(WEATHER) as flows:
        async with house.worker(
            *flows.settings(), worker={"drain_s": 4.0, "redelivery_s": [0.5, 0.5], "max_age_s": 8}
        ) as worker:
            await storm(house.broker, flows)
            await house.broker.until(lambda facts: not facts.messages(REQUESTS), timeout_s=30)
        seen, died = flows.seen, dead(house.broker)
    told = {name: seen[name].outcomes for name in NAMES}
    assert told[HEALTHY] == Counter(answered=seen[HEALTHY].asked)
    assert told[SLOW] == Counter(answered=seen[SLOW].asked)
    assert set(told[THROTTLING]) <= {"answered", "unavailable"}
    assert told[THROTTLING]["answered"] > seen[THROTTLING].asked / 3
    assert set(told[DYING]) <= {"answered", "unavailable"}
    assert told[DYING]["answered"] > seen[DYING].asked / 2, "it was away for a quarter of the time"
    assert seen[DYING].refusals > 0
    assert set(told[HANGING]) <= {"indeterminate", "unavailable"}
    assert told[HANGING]["indeterminate"] >= 1
    for name in (HEALTHY, SLOW, HANGING):
        assert max(seen[name].calls.values()) == 1, f"no second call of what may have run ({name})"
    for name in (THROTTLING, DYING):
        assert seen[name].calls.total() - len(seen[name].calls) <= seen[name].refusals, name
    for name in NAMES:
        assert seen[name].outcomes.total() == seen[name].asked
    assert queued(house.broker) == Counter()
    assert {reason for (name, reason) in died if name == HANGING} <= {"FlowIndeterminate", "FlowUnavailable"}
    assert {name for name, _ in died} <= {THROTTLING, DYING, HANGING}
    assert {each.delivery_count for each in worker.ended} == {0}, "no failure of a flow costs a delivery"
    assert all(each.settled == "done" for each in worker.ended)
