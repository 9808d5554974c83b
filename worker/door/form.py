"""What HTTP allows a request to look like, and the door does not."""

from typing import Final

from aiohttp import web

from worker.core.door.answer import Problem
from worker.door.limits import Refused
from worker.door.tokens import TOKEN_LIMIT_BYTES

LONGEST_HEADER_BYTES: Final = TOKEN_LIMIT_BYTES + 100
HEADERS_MOST: Final = 100
HEADERS_LIMIT_BYTES: Final = 32_768  # all together


def check_form(request: web.Request) -> None:
    """Raises `Refused`."""
    if sum(len(name) + len(value) for name, value in request.raw_headers) > HEADERS_LIMIT_BYTES:
        detail = f"All headers together may have {HEADERS_LIMIT_BYTES:,} bytes."
        raise Refused(Problem(status=431, kind="headers-too-large", detail=detail))
    if request.headers.get("Transfer-Encoding", "chunked").lower() != "chunked":
        detail = "Expected no transfer coding but chunked."
        raise Refused(Problem(status=501, kind="unknown-transfer-coding", detail=detail))
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        detail = "Expected a body that isn't compressed."
        problem = Problem(status=415, kind="encoded", detail=detail, headers={"Accept-Encoding": "identity"})
        raise Refused(problem)
