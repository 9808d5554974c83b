"""When to try again: full jitter, Retry-After as a floor, and no wait that can't pay off."""

import math
import re
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final

from worker.core.flow_spec import RetrySpec
from worker.core.outcome import NoRetry

# An attempt with less time than this can hardly end well: it would only turn "surely did not run" into "may have run".
LEAST_ATTEMPT_S: Final = 0.25

FIRST_POLL_S: Final = 1.0
POLL_GROWTH: Final = 1.5
QUICK_POLLS: Final = 5
LEAST_POLL_S: Final = 0.1  # after these: a flow that says "Retry-After: 0" for ever is not asked in a tight loop
LONGEST_POLL_S: Final = 15.0
LONGEST_RETRY_AFTER_S: Final = 999_999_999.0  # as an integer it fits AMQP's 32 bits

_DELTA_SECONDS: Final = re.compile(r"[0-9]{1,99}(\.[0-9]{1,6})?")


def next_delay_s(
    spec: RetrySpec,
    attempt: int,
    *,
    retry_after_s: float | None,
    remaining_s: float | None,
    draw: float,
    least_s: float = LEAST_ATTEMPT_S,
) -> float | None:
    """Seconds to wait after the failed `attempt` (1 for the first); None to give up.

    `draw` is uniform in [0, 1); `least_s`: what an attempt needs at least. With `remaining_s` None nothing bounds the
    wait but `max_s`: a Retry-After above it belongs to whoever can wait without holding the request.
    """
    if attempt >= spec.attempts:
        return None
    # The exponent is capped before it overflows a float; max_s caps the result anyway.
    backoff_s = min(spec.max_s, spec.first_s * 2.0 ** min(attempt - 1, 60))
    delay_s = max(draw * backoff_s, retry_after_s or 0.0)
    longest_s = spec.max_s if remaining_s is None else remaining_s - least_s
    return delay_s if delay_s <= longest_s else None


def why_no_delay(spec: RetrySpec, attempt: int, *, remaining_s: float | None) -> NoRetry:
    """Why `next_delay_s` gives up."""
    if attempt >= spec.attempts:
        return NoRetry.ATTEMPTS_SPENT
    return NoRetry.ASKED_TO_WAIT if remaining_s is None else NoRetry.NO_TIME


def next_poll_s(polls: int, *, retry_after_s: float | None, remaining_s: float = math.inf) -> float | None:
    """Seconds to wait before the next poll after `polls` of them; None where no answer can come in time.

    Without a Retry-After the wait grows. The last poll is made just before the end, whatever the flow asked for: there
    may be an answer sooner than it thought, and nobody will ask later.
    """
    usable_s = remaining_s - LEAST_ATTEMPT_S
    if usable_s <= 0:
        return None
    if retry_after_s is not None:
        return min(max(retry_after_s, LEAST_POLL_S if polls >= QUICK_POLLS else 0.0), usable_s)
    return min(FIRST_POLL_S * POLL_GROWTH ** min(polls, 60), LONGEST_POLL_S, usable_s)


def parse_retry_after(header: str | None, *, utc_now: datetime) -> float | None:
    """Seconds from an RFC 9110 Retry-After (delta-seconds or a date); None where absent or unreadable."""
    if header is None:
        return None
    text = header.strip()
    if _DELTA_SECONDS.fullmatch(text):
        return min(float(text), LONGEST_RETRY_AFTER_S)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError, TypeError):
        return None
    if at.tzinfo is None:  # "-0000": UTC of unknown origin
        at = at.replace(tzinfo=utc_now.tzinfo)
    return min(max(0.0, (at - utc_now).total_seconds()), LONGEST_RETRY_AFTER_S)
