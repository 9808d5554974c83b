"""The task that receives every answer of one requester's session."""

import asyncio
import random
from types import TracebackType
from typing import Self

from worker.core.failures import BusUnreachable, Misconfigured
from worker.requester.correlation import BusRefused, Correlation
from worker.servicebus.pauses import pause_s
from worker.servicebus.reply_session import ReplySession


class Listener:
    """Runs inside its `async with`. A lost session is opened again, under the same name, for as long as it takes."""

    def __init__(self, session: ReplySession, correlation: Correlation) -> None:
        self.refusal: str | None = None  # why no answer can come before somebody changes something
        self.reconnects = 0
        self._session = session
        self._correlation = correlation
        self._tasks = asyncio.TaskGroup()
        self._listening: asyncio.Task[None] | None = None
        self._is_leaving = False

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._listening = self._tasks.create_task(self._listen())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        await self._tasks.__aexit__(None, None, None)  # an error of the block isn't put into a group

    def stop(self) -> None:
        self._is_leaving = True  # and not by cancellation alone: an `asyncio.wait_for` in the SDK may swallow it
        if self._listening is not None:
            self._listening.cancel()

    async def _listen(self) -> None:
        failures = 0
        try:
            while not self._is_leaving:
                try:
                    await self._session.open()
                    self.refusal, failures = None, 0
                    await self._receive()
                except BusUnreachable:
                    self.reconnects += 1
                except Misconfigured as failure:
                    self._refuse(str(failure))
                failures += 1
                await asyncio.sleep(pause_s(failures, draw=random.random()))  # noqa: S311 - jitter, not a secret
        finally:
            await self._session.close()

    async def _receive(self) -> None:
        while not self._is_leaving:
            for delivery in await self._session.receive():
                self._correlation.answer(delivery)

    def _refuse(self, detail: str) -> None:
        self.refusal = detail
        self._correlation.fail_all(lambda request_id: BusRefused(detail, request_id=request_id))
