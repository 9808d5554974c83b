"""What the SDK leaves behind of web sockets (azure-sdk-for-python, issue 49131): the HTTP session that each came in.

Where opening fails, with its connection: the SDK closes one only once AMQP has begun on it. Who else knows of the
session is the failure, by where it was raised. Where a connection is lost, without.
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
    """An exception handler of the loop that says nothing of what aiohttp finds unclosed when it is collected."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._otherwise = loop.get_exception_handler()

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if str(context.get("message")).startswith("Unclosed "):
            return
        if self._otherwise is None:
            loop.default_exception_handler(context)
        else:
            self._otherwise(loop, context)


def overlook_leftovers() -> None:
    """For as long as the running loop lives: collecting them may take a while."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop.get_exception_handler(), _Overlooking):
        loop.set_exception_handler(_Overlooking(loop))
