"""The campaign's flows: one for each promise that a worker makes about second calls, and each again for trouble.

Apart, because a flow in trouble is called less and less: the limits of the healthy ones must not suffer from it.
"""

from dataclasses import dataclass
from typing import Final, Literal

from worker.app import LEAST_LANES, MOST_LANES

LOCK_S: Final = 5.0  # the shortest that Service Bus can be set to
CALL_S: Final = 7.0  # of one attempt: longer than a lock, so that locks must be renewed
BRIEF_CALL_S: Final = 1.0  # where calls hang, so that what hangs doesn't take all the time
CALLER_S: Final = 45.0
DRAIN_S: Final = 8.0
RESERVE_S: Final = min(5.0, 0.5 * DRAIN_S)  # of it: for answers after the last call was cut
MOST_DELIVERIES: Final = 10
CONCURRENCY: Final = 60
REDELIVERY_S: Final = (0.5, 1.0, 2.0)
TOKEN_S: Final = 20  # a token's life: short, so that fetching one is on every worker's way
LANES: Final = range(LEAST_LANES, MOST_LANES + 1)  # by load; each a connection, as the senders are
REPLY_SENDERS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    is_idempotent: bool = False
    after_crash: Literal["call", "indeterminate"] = "call"
    auth: Literal["identity", "none"] = "identity"
    call_s: float = CALL_S


FLOWS: Final = {
    "safe": Policy(is_idempotent=True),
    "risky": Policy(),
    "wary": Policy(after_crash="indeterminate", auth="none"),
    "safe-in-trouble": Policy(is_idempotent=True, call_s=BRIEF_CALL_S),
    "risky-in-trouble": Policy(call_s=BRIEF_CALL_S),
    "wary-in-trouble": Policy(after_crash="indeterminate", auth="none", call_s=BRIEF_CALL_S),
}
CALM: Final = tuple(FLOWS)[:3]
IN_TROUBLE: Final = tuple(FLOWS)[3:]
