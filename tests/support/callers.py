"""A process of many callers: `python callers.py CONNECTION_STRING REQUESTERS REQUESTS_EACH TIMEOUT_S`.

Every requester has a reply session of its own; every request's answer must hold its own body. Prints one JSON object.
"""

import asyncio
import json
import sys
from collections import Counter

from worker.requester import NoReply, Requester


async def ask(requester: Requester, body: bytes, timeout_s: float) -> str:
    try:
        reply = await requester.request(body, timeout_s=timeout_s)
    except NoReply:
        return "unanswered"
    if reply.outcome != "answered":
        return reply.outcome
    return "own" if reply.body == body else "foreign"


async def ask_many(connection_string: str, name: int, requests: int, timeout_s: float) -> tuple[list[str], int]:
    """How each request ended, and how many answers came that were not asked for."""
    async with Requester(connection_string=connection_string) as requester:
        endings = await asyncio.gather(*(ask(requester, f"{name}/{n}".encode(), timeout_s) for n in range(requests)))
        return endings, requester.statistics.foreign


async def main(connection_string: str, requesters: int, requests_each: int, timeout_s: float) -> None:
    results = await asyncio.gather(
        *(ask_many(connection_string, name, requests_each, timeout_s) for name in range(requesters))
    )
    endings = Counter(ending for endings, _ in results for ending in endings)
    sys.stdout.write(json.dumps({"endings": endings, "foreign": sum(foreign for _, foreign in results)}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
