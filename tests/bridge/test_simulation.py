"""A few workers in a world that goes wrong at random: what must hold, holds whatever happens when.

Set FLOWBRIDGE_EXAMPLES for more of it; `python tests/bridge/simulate.py` goes on for as long as it is told to.
"""

import os

from hypothesis import HealthCheck, Phase, event, given, settings

from .schedule import Schedule, run, schedules

EXAMPLES = int(os.environ.get("FLOWBRIDGE_EXAMPLES", "300"))


_SETTINGS = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    phases=[Phase.reuse, Phase.generate, Phase.shrink],
)


@_SETTINGS
@given(schedule=schedules)
def test_whatever_happens_every_request_ends_as_the_laws_say(schedule: Schedule) -> None:
    for saw in run(schedule).counts():
        event(saw.name)


@_SETTINGS
@given(schedule=schedules)
def test_whatever_happens_the_requests_of_a_session_end_so_in_their_order(schedule: Schedule) -> None:
    for saw in run(schedule, is_ordered=True).counts():
        event(saw.name)
