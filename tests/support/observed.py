"""What is told of one delivery: answered, replied to and completed. Tests replace in it what they are about."""

from typing import Final

from structlog.testing import capture_logs
from structlog.typing import EventDict

from worker.bridge.observed import Observed, Times
from worker.core.attempt import Attempt
from worker.core.outcome import Outcome
from worker.core.settlement import Settled
from worker.request_log import log_observed

from .loggers import reset_loggers

ANSWERED: Final = Observed(
    request_id="r-1",
    correlation_id=None,
    sequence_number=17,
    delivery_count=0,
    delivery_attempt=0,
    flow="credit-check",
    outcome=Outcome.ANSWERED,
    reason=None,
    http_status=200,
    run_id="08584",
    attempts=1,
    tries=(Attempt(began_at=100.5, ended_at=101.0, status=200),),
    no_retry=None,
    is_fetch=False,
    is_replay=False,
    is_recalled=False,
    is_replied=True,
    copy_in_s=None,
    settlement="Complete",
    dead_letter=None,
    settled=Settled.DONE,
    call_s=0.5,
    times=Times(
        first_enqueued_at=100.0,
        enqueued_at=100.0,
        asked_at=None,
        started_at=100.25,
        deadline=110.0,
        reply_began_at=101.0,
        replied_at=101.25,
        settling_at=101.5,
        ended_at=101.75,
    ),
    reply_to="flow-replies",
)


def logged(observed: Observed) -> EventDict:
    """The event that the log has of it."""
    reset_loggers()
    with capture_logs() as events:
        log_observed(observed)
    reset_loggers()
    return events[0]
