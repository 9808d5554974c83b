"""Why there is no connection to the broker, in words. The SDK says it in as many ways as it has transports."""

import re
import ssl
from typing import Final

from worker.core.redaction import redact
from worker.servicebus.causes import causes

REACH: Final = "Check the broker's name, and that this host reaches its port (5671 for AMQP, 443 for web sockets)."
_TRUST: Final = (
    "Check the broker's name; where its certificate is a private authority's, name the file of that authority's "
    "certificate in the environment variable SSL_CERT_FILE."
)
_LONGEST: Final = 300  # characters of the SDK's own text
_CONTEXT: Final = re.compile(r" ssl:(?:<[^>]*>|\w+)")  # that there is one, and where in memory
_OPENINGS: Final = (
    "Failed to initiate the connection due to exception: ",
    "Failed to authenticate the connection due to exception: ",  # so it calls any failure to open a web socket
)


def unreachable(error: Exception) -> str | None:
    """What to say of a connection that wasn't made, with what to do. None: it is about something else."""
    behind = list(causes(error))
    for each in behind:
        verdict = getattr(each, "verify_message", None) if isinstance(each, ssl.SSLCertVerificationError) else None
        if verdict:
            return f"the broker's certificate is not trusted here ({verdict.rstrip('.')}). {_TRUST}"
    for each in behind:
        status = getattr(each, "status", None)
        if isinstance(status, int):
            return f"HTTP status {status} came instead of a web socket. {REACH}"
        for opening in _OPENINGS:
            _, found, reason = str(each).partition(opening)
            if found:
                return f"no connection to the broker ({_short(reason)}). {REACH}"
    return None


def is_credential_refused(error: Exception) -> bool:
    """The SDK calls that a lost connection where the broker's port is named."""
    return any(str(each).startswith("CBS Token authentication failed") for each in causes(error))


def _short(text: str) -> str:
    return redact(" ".join(_CONTEXT.sub("", text).split()).split(" Error condition: ")[0].rstrip("."))[:_LONGEST]
