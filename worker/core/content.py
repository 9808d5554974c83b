"""The body and content type that a flow is called with (contract, section 5)."""

import orjson

from worker.core.dataverse import plain_context
from worker.core.flow_spec import FlowSpec
from worker.core.request import Request

_JSON = "application/json"
_BINARY = "application/octet-stream"


def body_for(request: Request, flow: FlowSpec) -> tuple[bytes, str]:
    """Body and content type: the message's bytes unchanged, unless the flow wants a decoded context."""
    if flow.body == "context" and request.event is not None:
        plain = plain_context(request.body)
        if plain is not None:
            return plain, _JSON
    return request.body, request.content_type or _guessed(request.body)


def _guessed(body: bytes) -> str:
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        return _BINARY
    return _JSON
