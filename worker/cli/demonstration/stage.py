"""Broker, flows and identity on loopback, and between them the worker as it runs anywhere else."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final

import orjson

from worker.app import assembled, drained
from worker.bridge.observed import Observed
from worker.emulator.broker import QueueProperties, Topology
from worker.emulator.server import EmbeddedBroker
from worker.emulator.standins import Answer, Behaviour, FlowStandIn, IdentityStandIn
from worker.settings import Settings, load
from worker.stop import Stop

REQUESTS: Final = "flow-requests"
REPLIES: Final = "flow-replies"
READY_WITHIN_S: Final = 20.0
_QUEUES: Final = Topology(
    queues=(
        QueueProperties(name=REQUESTS, dead_letters_on_expiry=True),
        QueueProperties(name=REPLIES, requires_session=True, duplicate_window_s=600.0),
    )
)
# Whatever identity the person at the terminal has, the demo's is the stand-in's; and no proxy stands before loopback.
_FOREIGN_PREFIXES: Final = ("AZURE_", "IDENTITY_", "MSI_", "IMDS_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """A flow of the demo and what its stand-in does, call by call; the last behaviour stays."""

    name: str
    behaviours: tuple[Behaviour, ...] = (Answer(),)
    body: str = "message"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """`stop` asks the worker to drain before the stage is taken down."""

    settings: Settings
    stop: Stop
    connection_string: str
    flows_url: str
    identity_url: str
    worker_url: str


@asynccontextmanager
async def set_up(flows: tuple[Flow, ...], routes: tuple[dict[str, object], ...]) -> AsyncIterator[Stage]:
    """Everything running and receiving. Raises TimeoutError, or the worker's own failure."""
    async with (
        EmbeddedBroker(_QUEUES, keeps_history=False) as broker,
        FlowStandIn() as triggers,
        IdentityStandIn() as imds,
    ):
        for flow in flows:
            triggers.script(flow.name, *flow.behaviours)
        document = {
            "servicebus": {"connection_string": broker.connection_string},
            "worker": {"drain_s": 5, "grace_s": 10},
            "http": {"port": 0},
            "flows": [
                {
                    "name": flow.name,
                    "url": triggers.url_of(flow.name),
                    "body": flow.body,
                    "retry": {"first_s": 0.2, "max_s": 2},
                }
                for flow in flows
            ],
            "routes": routes,
        }
        settings = load(
            None, {f"FLOWBRIDGE_{name.upper()}": orjson.dumps(part).decode() for name, part in document.items()}
        )
        with _identity_at(imds.url):
            stop = Stop()
            async with _working(settings, stop) as port:
                yield Stage(
                    settings=settings,
                    stop=stop,
                    connection_string=broker.connection_string,
                    flows_url=triggers.url,
                    identity_url=imds.url,
                    worker_url=f"http://127.0.0.1:{port}",
                )


@asynccontextmanager
async def _working(settings: Settings, stop: Stop) -> AsyncIterator[int]:
    """The worker's HTTP port."""
    async with assembled(settings, observe=_unseen) as worker:
        draining = asyncio.create_task(drained(worker, stop, drain_s=settings.worker.drain_s))
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                while worker.pump.facts.lanes_receiving < worker.pump.facts.lanes and not draining.done():  # noqa: ASYNC110 - seen from outside
                    await asyncio.sleep(0.02)
            yield worker.http_port
        finally:
            stop.requested.set()
            await draining


def _unseen(_observed: Observed) -> None:
    """The caller's side tells the story."""


@contextmanager
def _identity_at(url: str) -> Iterator[None]:
    """azure-identity reads its environment at every token, so it stays changed for as long as the worker runs."""
    before = dict(os.environ)
    for name in before:
        if name.upper().startswith(_FOREIGN_PREFIXES):
            del os.environ[name]
    os.environ.update(AZURE_POD_IDENTITY_AUTHORITY_HOST=url, NO_PROXY="127.0.0.1", no_proxy="127.0.0.1")
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
