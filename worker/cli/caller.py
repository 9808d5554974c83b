"""The caller's half, made from the same settings as the worker's."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from worker.app import credential_of
from worker.cli.failure import CommandFailed
from worker.requester import Requester
from worker.settings import Settings


@asynccontextmanager
async def requester_of(settings: Settings, *, reply_queue: str | None = None) -> AsyncIterator[Requester]:
    bus = settings.servicebus
    replies = reply_queue or next(iter(bus.reply_queues), None)
    if replies is None:
        raise CommandFailed("There is no queue to be answered on: name one with --reply-queue or in reply_queues.")
    async with credential_of(settings) as credential:
        requester = Requester(
            connection_string=bus.connection_string.get_secret_value() if bus.connection_string else None,
            namespace=bus.namespace,
            credential=credential if bus.namespace else None,
            transport=bus.transport,
            request_queue=bus.request_topic or bus.request_queue,
            reply_queue=replies,
            default_timeout_s=settings.worker.default_timeout_s,
        )
        async with requester:
            yield requester
