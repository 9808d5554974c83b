"""Whether a run of a flow may have begun for a dead letter: then a second one must be wanted."""

import re
from typing import Final

from worker.core.outcome import Outcome, Reason

_UNDELIVERABLE: Final = frozenset({"TTLExpiredException", "HeaderSizeExceeded"})  # the broker's, before any delivery
KNOWN_REASONS: Final = frozenset(
    {*Reason, *_UNDELIVERABLE, "MaxDeliveryCountExceeded", "MaxTransferHopCountExceeded", "Session ID is null."}
)
_NEVER_RAN: Final = _UNDELIVERABLE | {
    Reason.MALFORMED,
    Reason.TRUNCATED,
    Reason.UNROUTABLE,
    Reason.RETURN_ADDRESS_NOT_ALLOWED,
    Reason.RETURN_ADDRESS_INVALID,
    Reason.TOO_LARGE,
    Reason.EXPIRED,
    Reason.FLOW_UNAVAILABLE,
}
# As `verdict.describe` writes it. A refusal without a run is the trigger's.
_RUN: Final = re.compile(r"\brun .+?, \d+ attempts?:", re.DOTALL)
_UNDELIVERED: Final = re.compile(r"the undelivered answer was: (?P<outcome>[a-z]+), ")
_NO_RUN: Final = frozenset({Outcome.UNAVAILABLE, Outcome.EXPIRED, Outcome.REJECTED})


def may_have_run(reason: str | None, description: str | None) -> bool:
    """Of a reason that isn't known: yes, because a message that somebody else put aside may have been called for."""
    match reason:
        case Reason.FLOW_REFUSED:
            return _names_a_run(description)
        case Reason.REPLY_UNDELIVERABLE:
            told = _UNDELIVERED.search(description or "")
            if told is None:
                return True
            return told["outcome"] not in _NO_RUN and (told["outcome"] != Outcome.REFUSED or _names_a_run(description))
        case _:
            return reason not in _NEVER_RAN


def _names_a_run(description: str | None) -> bool:
    """Also where there is none to look at: a run can't be ruled out then."""
    return description is None or _RUN.search(description) is not None
