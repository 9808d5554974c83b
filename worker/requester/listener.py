"""The task that receives every answer of one session."""

import asyncio
import random
from types import TracebackType
from typing import Protocol, Self

from worker.core.delivery import Delivery
from worker.core.failures import BusUnreachable, Misconfigured
from worker.servicebus.pauses import pause_s
from worker.servicebus.reply_session import ReplySession


class Answers(Protocol):
    """Whom they are for."""

    def answer(self, delivery: Delivery) -> bool:
        """Whether it need not come again; else somebody tells the session when."""

    def refused(self, detail: str) -> None:
        """None can come before somebody changes something."""


class Listener:
    """Runs inside its `async with`. A lost session is opened again, under the same name, for as long as it takes."""

    def __init__(self, session: ReplySession, answers: Answers) -> None:
        self.refusal: str | None = None  # why no answer can come before somebody changes something
        self.is_open = False
        self.reconnects = 0
        self._session = session
        self._answers = answers
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
                    self.refusal, self.is_open, failures = None, True, 0
                    await self._receive()
                except BusUnreachable:
                    self.reconnects += 1
                except Misconfigured as failure:
                    self.refusal = str(failure)
                    self._answers.refused(self.refusal)
                self.is_open = False
                failures += 1
                await asyncio.sleep(pause_s(failures, draw=random.random()))  # noqa: S311 - jitter, not a secret
        finally:
            await self._session.close()

    async def _receive(self) -> None:
        while not self._is_leaving:
            for delivery in await self._session.receive():
                if self._answers.answer(delivery):
                    self._session.done(delivery)
