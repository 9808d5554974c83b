"""The least code that does the worker's job, as fast as the SDK allows: what everything else is measured against."""

import asyncio
from collections import defaultdict
from typing import Final

import aiohttp
from azure.servicebus import ServiceBusMessage, ServiceBusReceivedMessage
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver, ServiceBusSender

from worker.cli.bench.job import REPLIES, REQUESTS, Job, do

RECEIVERS: Final = 4
MOST: Final = 50
POLL_S: Final = 0.02


async def answer(job: Job) -> None:
    client = ServiceBusClient.from_connection_string(job.connection_string)
    connector = aiohttp.TCPConnector(limit=job.in_flight)
    async with client, aiohttp.ClientSession(connector=connector) as http, asyncio.TaskGroup() as lanes:
        for _ in range(RECEIVERS):
            lanes.create_task(lane(client, http, job.url))


async def lane(client: ServiceBusClient, http: aiohttp.ClientSession, url: str) -> None:
    receiver = client.get_queue_receiver(REQUESTS, prefetch_count=2 * MOST, socket_timeout=POLL_S)
    async with receiver, client.get_queue_sender(REPLIES) as sender:
        while True:
            if messages := await receiver.receive_messages(MOST, max_wait_time=POLL_S):
                await work_off(messages, receiver, sender, http, url)


async def work_off(
    messages: list[ServiceBusReceivedMessage],
    receiver: ServiceBusReceiver,
    sender: ServiceBusSender,
    http: aiohttp.ClientSession,
    url: str,
) -> None:
    replies: dict[str | None, list[ServiceBusMessage]] = defaultdict(list)
    for reply in await asyncio.gather(*(reply_to(message, http, url) for message in messages)):
        replies[reply.session_id].append(reply)
    for batch in replies.values():
        await sender.send_messages(batch)
    for message in messages:
        await receiver.complete_message(message)


async def reply_to(message: ServiceBusReceivedMessage, http: aiohttp.ClientSession, url: str) -> ServiceBusMessage:
    async with http.post(url, data=b"".join(message.body)) as response:
        body = await response.read()
    return ServiceBusMessage(body, session_id=message.reply_to_session_id, correlation_id=message.message_id)


if __name__ == "__main__":
    do(answer)
