"""What a stand-in saw, in order, for tests to wait on."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Recorded(Generic[T]):
    def __init__(self) -> None:
        self._items: list[T] = []
        self._added = asyncio.Event()

    def add(self, item: T) -> None:
        self._items.append(item)
        self._added.set()

    def __iter__(self) -> Iterator[T]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> T:
        return self._items[index]

    async def until(self, count: int, *, where: Callable[[T], bool] | None = None, within_s: float = 5.0) -> list[T]:
        """The first `count` items that `where` accepts; TimeoutError when there are fewer after `within_s`."""
        async with asyncio.timeout(within_s):
            while True:
                found = [item for item in self._items if where is None or where(item)]
                if len(found) >= count:
                    return found[:count]
                self._added.clear()
                await self._added.wait()
