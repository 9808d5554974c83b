"""Ways to receive a request and complete it: the product's lane, and what the SDK offers beside it."""

import time
from dataclasses import dataclass
from typing import Final, Protocol

from worker.core.settlement import Complete, Settled
from worker.servicebus.connect import Bus, QueueSource
from worker.servicebus.convert import Instant, to_delivery
from worker.servicebus.lanes import ReceiverLane

SOURCE: Final = QueueSource(queue="flow-requests")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    lanes: int = 2
    window: int = 12
    most: int = 1
    wait_s: float = 0.5
    is_chosen: bool = False

    def __str__(self) -> str:
        name = f"{self.lanes}, window {self.window}"
        if self.most > 1:
            name = f"{self.lanes}, most {self.most}, wait {self.wait_s:g}"
        return f"{name} [chosen]" if self.is_chosen else name


class Intake(Protocol):
    async def open(self) -> None: ...
    async def take(self) -> list[float]:
        """Receive and complete: the latencies in ms. Raises when a completion isn't confirmed."""

    async def close(self) -> None: ...


class LaneIntake:
    def __init__(self, bus: Bus, shape: Shape) -> None:
        self._lane = ReceiverLane(bus, SOURCE, window=shape.window)
        self._shape = shape

    async def open(self) -> None:
        await self._lane.open()

    async def take(self) -> list[float]:
        deliveries = await self._lane.receive(wait_s=self._shape.wait_s)
        now_ms = time.time() * 1000
        settled = await self._lane.settle([(delivery, Complete()) for delivery in deliveries])
        if any(each is not Settled.DONE for each in settled):
            raise RuntimeError(f"Completing ended as {settled}.")
        return [now_ms - delivery.enqueued_time_ms for delivery in deliveries]

    async def close(self) -> None:
        await self._lane.close()


class BatchIntake:
    """What `ReceiverLane` doesn't do, by the SDK itself, with the same conversion."""

    def __init__(self, bus: Bus, shape: Shape) -> None:
        self._receiver = bus.receiver(SOURCE)
        self._shape = shape

    async def open(self) -> None:
        await self._receiver.__aenter__()

    async def take(self) -> list[float]:
        messages = await self._receiver.receive_messages(self._shape.most, max_wait_time=self._shape.wait_s)
        now = Instant.now()
        deliveries = [to_delivery(message, now) for message in messages]
        for message in messages:
            await self._receiver.complete_message(message)
        return [now.wall_s * 1000 - delivery.enqueued_time_ms for delivery in deliveries]

    async def close(self) -> None:
        await self._receiver.close()


def intake_of(bus: Bus, shape: Shape) -> Intake:
    return BatchIntake(bus, shape) if shape.most > 1 else LaneIntake(bus, shape)
