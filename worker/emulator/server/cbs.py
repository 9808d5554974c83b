"""What `$cbs` does: takes tokens."""

from __future__ import annotations

from worker.emulator.amqp.errors import NOT_IMPLEMENTED, UNAUTHORIZED
from worker.emulator.server.auth import Admission, TokenRefusedError
from worker.emulator.server.management import Answer
from worker.emulator.server.requests import Request

ACCEPTED = 202
REFUSED_ON_REQUEST = Answer(401, "the token is refused, on request", UNAUTHORIZED, {})


def put_token(admission: Admission, request: Request, now: float) -> Answer:
    """Answers 401 where the token is not taken, and why."""
    if request.properties.get("operation") != "put-token":
        return Answer(501, "this node takes put-token only", NOT_IMPLEMENTED, {})
    try:
        admission.put_token(
            token=str(request.body),
            audience=str(request.properties.get("name")),
            now=now,
        )
    except TokenRefusedError as error:
        return Answer(401, str(error), UNAUTHORIZED, {})
    return Answer(ACCEPTED, "Accepted", None, {})
