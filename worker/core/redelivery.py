"""Copies of a one-way request that wait on the queue for their next try (contract, section 4)."""

from collections.abc import Mapping
from dataclasses import dataclass

from worker.core.delivery import Delivery, PropertyValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """`original` as received; what differs stands beside it. Everything else of the original is kept."""

    original: Delivery
    message_id: str
    properties: Mapping[str, PropertyValue]
    time_to_live_s: float | None
    delay_s: float
