"""The least code that does the worker's job, as fast as the SDK allows: what everything else is measured against.

No limits, no retries, no deadlines, no errors, no log, one kind of reply. What was found to pay: a window of messages
asked for at once, received one at a time while calm and several when busy; replies in batches by session, gathered
while the last one is sent; the plain AMQP message instead of the SDK's own; few garbage collections.
"""

import asyncio
import gc
from collections import defaultdict, deque
from typing import Final

import aiohttp
from azure.core.settings import settings
from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver, ServiceBusSender
from azure.servicebus.amqp import AmqpAnnotatedMessage

from worker.cli.bench.job import REPLIES, REQUESTS, Job, do

RECEIVERS: Final = 4
WINDOW: Final = 32
POLL_S: Final = 0.02
SETTLED_AT_A_TIME: Final = 8


async def answer(job: Job) -> None:
    settings.tracing_implementation.set_value(settings.tracing_implementation())
    gc.set_threshold(20_000, 20, 20)
    client = ServiceBusClient.from_connection_string(job.connection_string)
    http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar())
    async with client, http, asyncio.TaskGroup() as tasks:
        replies = Replies(client.get_queue_sender(REPLIES, socket_timeout=POLL_S))
        tasks.create_task(replies.run())
        for _ in range(RECEIVERS):
            receiver = client.get_queue_receiver(REQUESTS, prefetch_count=WINDOW - 1, socket_timeout=POLL_S)
            tasks.create_task(Lane(receiver, replies, http, job.url).run())


class Lane:
    """One receiver: receives and completes in turn."""

    def __init__(self, receiver: ServiceBusReceiver, replies: "Replies", http: aiohttp.ClientSession, url: str) -> None:
        self._receiver, self._replies, self._http, self._url = receiver, replies, http, url
        self._answered: deque[ServiceBusReceivedMessage] = deque()
        self._in_flight = 0

    async def run(self) -> None:
        most = 1
        async with self._receiver, asyncio.TaskGroup() as tasks:
            while True:
                for _ in range(min(SETTLED_AT_A_TIME, len(self._answered))):
                    await self._receiver.complete_message(self._answered.popleft())
                    self._in_flight -= 1
                wait_s = 0.01 if most > 1 else POLL_S if self._in_flight else 1.0
                messages = await self._receiver.receive_messages(most, max_wait_time=wait_s)
                most = min(WINDOW, 2 * most) if len(messages) == most and self._in_flight > most else 1
                self._in_flight += len(messages)
                for message in messages:
                    tasks.create_task(self._answer(message))

    async def _answer(self, message: ServiceBusReceivedMessage) -> None:
        async with self._http.post(self._url, data=b"".join(message.body)) as response:
            body = await response.read()
        session_id = message.reply_to_session_id
        identity = {"group_id": session_id, "correlation_id": message.message_id}
        await self._replies.send(session_id, AmqpAnnotatedMessage(data_body=body, properties=identity))
        self._answered.append(message)


class Replies:
    """One sender. What waits for a session while the last batch is on its way is the next."""

    def __init__(self, sender: ServiceBusSender) -> None:
        self._sender = sender
        self._waiting: dict[str | None, list[tuple[AmqpAnnotatedMessage, asyncio.Future[None]]]] = defaultdict(list)
        self._wake = asyncio.Event()

    async def send(self, session_id: str | None, reply: AmqpAnnotatedMessage) -> None:
        sent = asyncio.get_running_loop().create_future()
        self._waiting[session_id].append((reply, sent))
        self._wake.set()
        await sent

    async def run(self) -> None:
        async with self._sender:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._waiting:
                    waiting = self._waiting.pop(next(iter(self._waiting)))
                    await self._sender.send_messages([reply for reply, _ in waiting])
                    for _, sent in waiting:
                        sent.set_result(None)


if __name__ == "__main__":
    do(answer)
