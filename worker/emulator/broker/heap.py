"""A set that knows its smallest item."""

import heapq
from collections.abc import Iterator
from typing import Any, Final, Generic, Protocol, TypeVar

_SLACK: Final = 64
"""Discarded items a heap may carry before it is worth rebuilding."""


class _Ordered(Protocol):
    def __lt__(self, other: Any, /) -> bool: ...


T = TypeVar("T", bound=_Ordered)


class IndexedHeap(Generic[T]):
    """Add, discard and pop in O(log n), amortised: a discarded item stays in the heap until it surfaces,
    or until half of the heap is such items.
    """

    __slots__ = ("_heap", "_items")

    def __init__(self) -> None:
        self._heap: list[T] = []
        self._items: set[T] = set()

    def add(self, item: T) -> None:
        self._items.add(item)
        heapq.heappush(self._heap, item)

    def discard(self, item: T) -> None:
        self._items.discard(item)
        if len(self._heap) > 2 * len(self._items) + _SLACK:
            self._heap = list(self._items)
            heapq.heapify(self._heap)

    def first(self) -> T | None:
        while self._heap:
            if self._heap[0] in self._items:
                return self._heap[0]
            heapq.heappop(self._heap)
        return None

    def pop(self) -> T:
        """Raises IndexError when empty."""
        while True:
            item = heapq.heappop(self._heap)
            if item in self._items:
                self._items.remove(item)
                return item

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[T]:
        """In no order."""
        return iter(self._items)
