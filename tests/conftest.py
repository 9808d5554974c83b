"""Shared by all: an embedded broker that lives as long as its test."""

import gc
from collections.abc import AsyncIterator

import pytest

from worker.emulator.broker import QueueProperties, SubscriptionProperties, TopicProperties, Topology
from worker.emulator.server import EmbeddedBroker

TOPOLOGY = Topology(
    queues=(
        QueueProperties(name="flow-requests"),
        QueueProperties(name="flow-requests-briefly", lock_s=1.0),
        QueueProperties(name="flow-requests-ordered", requires_session=True),
        QueueProperties(name="flow-requests-ordered-briefly", requires_session=True, lock_s=1.0),
        QueueProperties(name="flow-replies", requires_session=True, duplicate_window_s=60.0),
        QueueProperties(name="flow-replies-briefly", requires_session=True, lock_s=1.0),
    ),
    topics=(
        TopicProperties(name="flow-events", subscriptions=(SubscriptionProperties(name="bridge"),)),
        TopicProperties(
            name="flow-events-ordered", subscriptions=(SubscriptionProperties(name="bridge", requires_session=True),)
        ),
    ),
)


WHOLE_HOUSES = {"acceptance", "chaos", "cli"}  # where tests bring brokers of their own


@pytest.fixture
async def broker() -> AsyncIterator[EmbeddedBroker]:
    async with EmbeddedBroker(TOPOLOGY) as broker:
        yield broker
    gc.collect()  # the sockets below, while this test still answers for them


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The SDK leaves the socket of a connection that its peer cut to the garbage collector, which says so.

    What takes so long that it has a time-out of its own goes first: nobody waits for it alone at the end.
    """
    items.sort(key=lambda item: item.get_closest_marker("timeout") is None)
    for item in items:
        if "broker" in getattr(item, "fixturenames", ()) or item.path.parent.name in WHOLE_HOUSES:
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"))
            item.add_marker(pytest.mark.filterwarnings("ignore:loop is closed:ResourceWarning"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """For tests/contract; only here are options heard however pytest is started."""
    group = parser.getgroup("flowbridge")
    group.addoption("--servicebus", metavar="CONNECTION_STRING", help="run the contract tests against this namespace")
    group.addoption("--servicebus-prefix", default="contract.", help="what its entities' names begin with")
