"""What a child hears, without a supervisor."""

import asyncio
from typing import cast

from worker.running import Worker
from worker.stop import Stop
from worker.supervisor import child
from worker.supervisor.line import Steered


class Steerable:
    def __init__(self) -> None:
        self.steered: list[tuple[str, bool]] = []

    def steer(self, flow: str, *, is_isolated: bool) -> bool:
        self.steered.append((flow, is_isolated))
        return True


async def test_a_supervisor_that_dies_within_a_line_is_an_order_to_drain() -> None:
    reader, worker, stop = asyncio.StreamReader(), Steerable(), Stop()
    whole = Steered(flow="a", is_isolated=True).to_line()
    reader.feed_data(whole + whole[:7])
    reader.feed_eof()
    await child._obey(reader, cast("Worker", worker), stop)
    assert worker.steered == [("a", True)]
    assert stop.requested.is_set()
