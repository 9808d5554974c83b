"""A short campaign. FLOWBRIDGE_CHAOS_SECONDS for a longer one; `python tests/chaos/campaign.py` tells more of it."""

import os

import pytest
from chaos.campaign import SOON_S, Campaign
from chaos.plan import SOON, WEATHERS
from chaos.planted import BUGS

# The SDK leaves the socket of a connection that its peer cut to the garbage collector, which says so.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:loop is closed:ResourceWarning"),
]
SECONDS = float(os.environ.get("FLOWBRIDGE_CHAOS_SECONDS", "6"))
SEED = 1
CAUGHT_S = 60.0


@pytest.mark.timeout(SECONDS + 120)
async def test_whatever_is_done_to_two_workers_every_law_holds() -> None:
    everything = [each for each in WEATHERS if each.name == "everything"]
    campaign = Campaign(seed=SEED, seconds=SECONDS, workers=2, per_s=25.0, weathers=everything)
    await campaign.run()
    assert campaign.violations == [], f"seed {SEED}"
    assert campaign.figures.harms.total() > 0


@pytest.mark.chaos
@pytest.mark.timeout(CAUGHT_S + 120)
@pytest.mark.parametrize("bug", BUGS)
async def test_a_planted_bug_is_caught(bug: str) -> None:
    campaign = Campaign(seed=SEED, seconds=CAUGHT_S, planted=bug, load_s=SOON_S, weathers=SOON, stops_at_first=True)
    await campaign.run()
    assert campaign.violations
