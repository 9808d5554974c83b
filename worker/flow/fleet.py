"""How many workers share what a flow takes.

A headless Service has one address for each of its pods: a look-up of its name counts the workers, without a server of
ours, a right to ask the cluster, or anything said between workers.
"""

import asyncio
import socket
from collections import defaultdict

LOOK_UP_S = 5.0


class Fleet:
    """`workers` includes this one: as set, or as last counted by `name`, where one is set; each in `processes`."""

    def __init__(self, *, replicas: int, processes: int, name: str | None) -> None:
        self._processes = processes
        self.workers = replicas * processes
        self.name = name
        self.failure: str | None = None

    async def count(self) -> None:
        """Anew. A failure is told in `failure`, and what was known stays."""
        self.failure = await self._count()

    async def _count(self) -> str | None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(LOOK_UP_S):
                found = await loop.getaddrinfo(self.name, None, type=socket.SOCK_STREAM)
        except TimeoutError:
            return f"The look-up of {self.name} took longer than {LOOK_UP_S:g} s."
        except OSError as error:
            return f"The name {self.name} can't be looked up: {error.strerror}."
        addresses: dict[int, set[str]] = defaultdict(set)  # a pod has one in each family
        for family, _, _, _, address in found:
            addresses[family].add(str(address[0]))
        self.workers = max(1, *map(len, addresses.values())) * self._processes
        return None
