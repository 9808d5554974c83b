"""A reply from the queue, or the lack of one, as an HTTP response."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, assert_never

from worker.core.outcome import Outcome
from worker.core.reply import PROBLEM_JSON
from worker.core.typed_reply import TypedReply

BODILESS: Final = frozenset({204, 205, 304})
_UNPROCESSABLE: Final = 422


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    content_type: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What the door itself has to say (RFC 9457). `detail` is a sentence for the caller."""

    status: int
    kind: str
    detail: str
    retry_after_s: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> Response:
        document = {"type": f"urn:flowbridge:door:{self.kind}", "status": self.status, "detail": self.detail}
        headers = dict(self.headers)
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(self.retry_after_s)
        return Response(
            status=self.status, headers=headers, body=json.dumps(document).encode(), content_type=PROBLEM_JSON
        )


def response_of(reply: TypedReply) -> Response:
    """The flow's own status, body and content type where a run answered."""
    headers = {"Flowbridge-Outcome": reply.outcome.value, "Flowbridge-Request-Id": reply.request_id}
    if reply.run_id is not None:
        headers["Flowbridge-Run-Id"] = _shown(reply.run_id)
    if reply.attempts is not None:
        headers["Flowbridge-Attempts"] = str(reply.attempts)
    if reply.outcome is Outcome.UNAVAILABLE:
        headers["Retry-After"] = str(reply.retry_after_s or 1)
    status = _status_of(reply)
    if status in BODILESS:
        return Response(status=status, headers=headers)
    return Response(status=status, headers=headers, body=reply.body, content_type=reply.content_type)


def unanswered(request_id: str) -> Response:
    """Nobody answered in time, not even that it was too late."""
    detail = "No answer came in time. The flow may have run; a late answer is told under the request's own address."
    headers = {"Flowbridge-Outcome": Outcome.INDETERMINATE.value, "Flowbridge-Request-Id": request_id}
    return Problem(status=504, kind="unanswered", detail=detail, headers=headers).response()


def _status_of(reply: TypedReply) -> int:
    match reply.outcome:
        case Outcome.ANSWERED:
            return _own_status(reply) or 200
        case Outcome.REFUSED:
            # Without a run it was the trigger that refused the worker: a 401 of it would send the caller for a token.
            return (_own_status(reply) if reply.run_id is not None else None) or _UNPROCESSABLE
        case Outcome.UNAVAILABLE:
            return 503
        case Outcome.INDETERMINATE | Outcome.EXPIRED:
            return 504
        case Outcome.REJECTED:
            return 400
        case _:
            assert_never(reply.outcome)


def _own_status(reply: TypedReply) -> int | None:
    status = reply.http_status
    return status if status is not None and 200 <= status <= 599 else None


def _shown(text: str) -> str:
    """As a header can say it."""
    return "".join(each if each.isascii() and each.isprintable() else "?" for each in text)
