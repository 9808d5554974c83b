"""Competing Consumers: any message for any consumer, in turn."""

from collections import OrderedDict

from worker.emulator.broker.consumer import Consumer, ConsumerId
from worker.emulator.broker.entry import Entry
from worker.emulator.broker.heap import IndexedHeap


class CompetingConsumers:
    """Pairs the message with the lowest sequence number with the consumer that waited longest."""

    def __init__(self) -> None:
        self._ready: IndexedHeap[int] = IndexedHeap()
        self._hungry: OrderedDict[ConsumerId, Consumer] = OrderedDict()

    def offer(self, entry: Entry) -> None:
        self._ready.add(entry.sequence_number)

    def withdraw(self, entry: Entry) -> None:
        self._ready.discard(entry.sequence_number)

    def credit_changed(self, consumer: Consumer) -> None:
        if consumer.credit > 0:
            self._hungry[consumer.id] = consumer
        else:
            self._hungry.pop(consumer.id, None)

    def next_delivery(self) -> tuple[Consumer, int] | None:
        """The consumer, its credit already taken, and the sequence number, no longer offered."""
        if not self._hungry or not self._ready:
            return None
        consumer = next(iter(self._hungry.values()))
        consumer.credit -= 1
        if consumer.credit:
            self._hungry.move_to_end(consumer.id)
        else:
            del self._hungry[consumer.id]
        return consumer, self._ready.pop()
