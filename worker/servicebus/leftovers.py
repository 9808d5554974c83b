"""What the SDK leaves behind.

Of web sockets (azure-sdk-for-python, issue 49131), the HTTP session that each came in. Where opening fails, with its
connection: the SDK closes one only once AMQP has begun on it. Who else knows of the session is the failure, by where it
was raised. Where a connection is lost, without. And of a wait that we end just as the answer comes, a task that failed
with that answer.
"""

import asyncio
import contextlib
import traceback
from collections.abc import Iterator
from typing import Any

from worker.servicebus.causes import causes


async def close_leftovers(error: BaseException) -> None:
    for session in _sessions(error):
        with contextlib.suppress(Exception):
            await session.close()


def _sessions(error: BaseException) -> Iterator[Any]:
    """Of aiohttp; closing one twice does no harm. Other frames are let be: to look at their variables keeps these."""
    for each in causes(error):
        for frame, _ in traceback.walk_tb(each.__traceback__):
            if str(frame.f_globals.get("__name__")).endswith("._transport_async"):
                session = getattr(frame.f_locals.get("self"), "session", None)
                if session is not None:
                    yield session


class _Overlooking:
    """An exception handler of the loop that says nothing of either when it is collected."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, with_web_sockets: bool) -> None:
        self.with_web_sockets = with_web_sockets
        self._otherwise = loop.get_exception_handler()

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        message, error = str(context.get("message")), context.get("exception")
        if message.startswith("Unclosed ") and self.with_web_sockets:
            return
        if message.startswith("Task exception was never retrieved") and type(error).__module__.startswith("azure."):
            return
        if self._otherwise is None:
            loop.default_exception_handler(context)
        else:
            self._otherwise(loop, context)


def overlook_leftovers(*, with_web_sockets: bool) -> None:
    """For as long as the running loop lives: collecting them may take a while."""
    loop = asyncio.get_running_loop()
    present = loop.get_exception_handler()
    if isinstance(present, _Overlooking):
        present.with_web_sockets |= with_web_sockets
    else:
        loop.set_exception_handler(_Overlooking(loop, with_web_sockets=with_web_sockets))
