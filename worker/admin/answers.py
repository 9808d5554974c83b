"""How the HTTP surface answers: in JSON, refusals in a sentence, and nothing for others to store, frame or guess at."""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Final, TypeAlias

import orjson
import structlog
from aiohttp import web

_Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_SENTENCES: Final = {
    400: "This isn't a request that HTTP knows.",
    404: "There is nothing here; the status page is at /.",
    405: "This can't be done here; /status lists what there is to see.",
}

_log = structlog.stdlib.get_logger(__name__)


def json_answer(document: Mapping[str, object], *, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(document), content_type="application/json")


def refusal(status: int, sentence: str) -> web.Response:
    return json_answer({"error": sentence}, status=status)


async def set_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """For `on_response_prepare`; what a handler set itself stays."""
    _dress(response)


class Connection(web.RequestHandler):
    """Answers what isn't HTTP, which reaches no handler, as plainly as the rest."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        super().handle_error(request, status, exc, message)  # raises where an answer has begun
        answer = refusal(status, _SENTENCES.get(status, f"{HTTPStatus(status).phrase}."))
        answer.force_close()
        _dress(answer)
        return answer


def _dress(response: web.StreamResponse) -> None:
    response.headers["Server"] = "flowbridge"
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)


@web.middleware
async def answered_plainly(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        answer = refusal(error.status, _SENTENCES.get(error.status, f"{error.reason}."))
        if "Allow" in error.headers:
            answer.headers["Allow"] = error.headers["Allow"]
        return answer
    except ConnectionError:
        raise  # who asked has gone
    except Exception:
        _log.exception("http_request_failed", path=request.path)
        raise
