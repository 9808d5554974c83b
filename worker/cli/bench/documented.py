"""Concurrency as documentation suggests it: a task for each message of the receiver, a lock on the one sender."""

import asyncio

import aiohttp
from azure.servicebus import ServiceBusMessage, ServiceBusReceivedMessage
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver, ServiceBusSender

from worker.cli.bench.job import REPLIES, REQUESTS, Job, do


async def answer(job: Job) -> None:
    places, sending = asyncio.Semaphore(job.in_flight), asyncio.Lock()

    async def work(message: ServiceBusReceivedMessage) -> None:
        try:
            async with http.post(job.url, data=b"".join(message.body)) as response:
                body = await response.read()
            reply = ServiceBusMessage(body, session_id=message.reply_to_session_id, correlation_id=message.message_id)
            async with sending:
                await sender.send_messages(reply)
            await receiver.complete_message(message)
        finally:
            places.release()

    client = ServiceBusClient.from_connection_string(job.connection_string)
    receiver: ServiceBusReceiver = client.get_queue_receiver(REQUESTS)
    sender: ServiceBusSender = client.get_queue_sender(REPLIES)
    async with client, receiver, sender, aiohttp.ClientSession() as http, asyncio.TaskGroup() as tasks:
        async for message in receiver:
            await places.acquire()
            tasks.create_task(work(message))


if __name__ == "__main__":
    do(answer)
