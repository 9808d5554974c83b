"""`POST /flows/{name}/isolate` and `/reset`: only with the admin token."""

import hmac

import structlog
from aiohttp import web

from worker.admin.answers import refusal
from worker.admin.surface import Steer, SteerAction, Surface

_log = structlog.stdlib.get_logger(__name__)


def steering_routes(surface: Surface) -> list[web.RouteDef]:
    async def isolate(request: web.Request) -> web.Response:
        return _steered(surface, request, "isolate", "circuit_isolated")

    async def reset(request: web.Request) -> web.Response:
        return _steered(surface, request, "reset", "circuit_reset")

    return [web.post("/flows/{name}/isolate", isolate), web.post("/flows/{name}/reset", reset)]


def _steered(surface: Surface, request: web.Request, action: SteerAction, event: str) -> web.Response:
    if surface.admin_token is None:
        return refusal(403, "Nothing can be steered here: no admin token is configured.")
    if not _shows(request, surface.admin_token):
        missing = refusal(401, "Expected the header 'Authorization: Bearer' with the worker's admin token.")
        missing.headers["WWW-Authenticate"] = "Bearer"
        return missing
    flow = request.match_info["name"]
    if not surface.steer(Steer(flow=flow, action=action)):
        return refusal(404, f"There is no flow {flow!r:.80} here; /status lists those that there are.")
    _log.warning(event, flow=flow, remote=request.remote)
    return web.Response(status=204)


def _shows(request: web.Request, token: str) -> bool:
    """Compared in a time that tells nothing about the token but its length."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    is_token = hmac.compare_digest(given.strip().encode(errors="surrogateescape"), token.encode())
    return is_token and scheme.lower() == "bearer"
