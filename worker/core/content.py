"""The body and content type that a flow is called with."""

import orjson

from worker.core.dataverse.plain import context_as_plain_json
from worker.core.flow_spec import FlowSpec
from worker.core.outcome import Rejected
from worker.core.request import Request

_JSON = "application/json"
_BINARY = "application/octet-stream"


def body_for(request: Request, flow: FlowSpec) -> tuple[bytes, str] | Rejected:
    """Body and content type: the message's bytes unchanged, unless the flow takes decoded contexts only."""
    if flow.body == "message":
        return request.body, request.content_type or _guessed(request.body)
    plain = context_as_plain_json(request.body)
    return plain if isinstance(plain, Rejected) else (plain, _JSON)


def _guessed(body: bytes) -> str:
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        return _BINARY
    return _JSON
