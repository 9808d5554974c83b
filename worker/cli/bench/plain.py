"""The loop of the SDK's samples: receive one, post it, reply, complete, and the next."""

import aiohttp
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient

from worker.cli.bench.job import REPLIES, REQUESTS, Job, do


async def answer(job: Job) -> None:
    async with (
        ServiceBusClient.from_connection_string(job.connection_string) as client,
        client.get_queue_receiver(REQUESTS) as receiver,
        client.get_queue_sender(REPLIES) as sender,
        aiohttp.ClientSession() as http,
    ):
        while True:
            for message in await receiver.receive_messages(max_message_count=1, max_wait_time=5):
                async with http.post(job.url, data=b"".join(message.body)) as response:
                    body = await response.read()
                reply = ServiceBusMessage(
                    body, session_id=message.reply_to_session_id, correlation_id=message.message_id
                )
                await sender.send_messages(reply)
                await receiver.complete_message(message)


if __name__ == "__main__":
    do(answer)
