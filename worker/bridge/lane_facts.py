"""What can be seen of one lane. Counts are since its start."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneFacts:
    is_on_duty: bool  # not closed for want of work
    is_receiving: bool
    in_flight: int
    failure: str | None  # why it isn't receiving
    renewals: int
    locks_lost: int
    unconfirmed: int  # settlements said, of which nothing was heard
    outages: int
