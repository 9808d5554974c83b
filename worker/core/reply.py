"""The answer as it goes to the reply queue (contract, section 6)."""

from collections.abc import Mapping
from dataclasses import dataclass

from worker.core.request import ReturnAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """`message_id` is derived from the request id, so a repeat is the same message to duplicate detection."""

    to: ReturnAddress
    message_id: str
    correlation_id: str
    body: bytes
    content_type: str | None
    time_to_live_s: float
    properties: Mapping[str, str | int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Undelivered:
    """Why a reply or a copy didn't get onto its queue: refused for good, or not accepted in time."""

    detail: str
    is_too_large: bool = False  # above the queue's size limit: a shorter one would be taken
