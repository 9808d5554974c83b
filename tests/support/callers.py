"""A process of many callers: `python callers.py CONNECTION_STRING REQUESTERS REQUESTS_EACH TIMEOUT_S`.

Every requester has a reply session of its own; every request's answer must hold its own body. Prints one JSON object.
"""

import asyncio
import json
import sys
from collections import Counter
from contextlib import AsyncExitStack

from worker.requester import NoReply, Requester


async def ask(requester: Requester, body: bytes, timeout_s: float) -> str:
    try:
        reply = await requester.request(body, timeout_s=timeout_s)
    except NoReply:
        return "unanswered"
    if reply.outcome != "answered":
        return reply.outcome
    return "own" if reply.body == body else "foreign"


async def main(connection_string: str, requesters: int, requests_each: int, timeout_s: float) -> None:
    async with AsyncExitStack() as stack:
        opened = [
            await stack.enter_async_context(Requester(connection_string=connection_string)) for _ in range(requesters)
        ]
        endings = await asyncio.gather(
            *(
                ask(requester, f"{requester_number}/{number}".encode(), timeout_s)
                for requester_number, requester in enumerate(opened)
                for number in range(requests_each)
            )
        )
        foreign = sum(requester.statistics.foreign for requester in opened)
    sys.stdout.write(json.dumps({"endings": Counter(endings), "foreign": foreign}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
