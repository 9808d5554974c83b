"""What the platform's own repeats of an event have in common, when each comes under a message id of its own."""

import hashlib

from worker.core.dataverse.contracts import NO_TABLE
from worker.core.dataverse.facts import EventFacts


def repeat_key(facts: EventFacts, body: bytes) -> str | None:
    """SHA-256, in hex, of the lines that say which step of which operation on which row it is.

    An operation without a row (a custom API, several rows at once) is told apart by its body. None where the event
    doesn't say its operation: nothing else is the same over the platform's retries and different for the next event.
    """
    if facts.operation_id is None:
        return None
    ids = (facts.organization_id, facts.operation_id, facts.step_id)
    lines = [
        *((name or "").lower() for name in ids),
        "" if facts.stage is None else str(facts.stage),
        facts.message or "",
        facts.table or NO_TABLE,
        (facts.row_id or hashlib.sha256(body).hexdigest()).lower(),
    ]
    return hashlib.sha256("\n".join(lines).encode(errors="surrogatepass")).hexdigest()
