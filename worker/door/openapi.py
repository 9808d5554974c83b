"""The door's own description (OpenAPI 3.1), served at `/openapi.json`. It names no flow: anybody may read it."""

from typing import Any, Final

from worker.core.reply import PROBLEM_JSON
from worker.release import release

_REQUEST_ID: Final = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.[0-9]{1,12}\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{22}$"
_KEY_FORM: Final = "^[!-~]([ -~]{0,126}[!-~])?$"  # a header's value neither begins nor ends with a space
_OUTCOME_HEADERS: Final = {
    "Flowbridge-Outcome": "answered, refused, unavailable, indeterminate, expired or rejected",
    "Flowbridge-Request-Id": "by which the answer can be asked for",
    "Flowbridge-Run-Id": "of the flow's run, where there was one",
    "Flowbridge-Attempts": "HTTP requests that were made to the flow",
}
_REFUSALS: Final = {
    "400": "The request is wrong.",
    "401": "No token, or none that is good.",
    "403": "This identity may not.",
    "404": "There is none, or it is somebody else's.",
    "408": "The body came too slowly.",
    "410": "It was kept for a while, and is gone.",
    "413": "The body is too large.",
    "415": "The body is compressed.",
    "429": "More than this caller may ask for at once.",
    "431": "The headers are too large.",
    "500": "A defect of the door.",
    "501": "The body's transfer coding isn't chunked.",
    "503": "It did not happen, and may later; again after Retry-After.",
    "504": "The flow may have run, or the time was over.",
}
_ALWAYS: Final = ("400", "401", "403", "415", "429", "431", "500", "501", "503")
_RETRY_AFTER: Final = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 0}}}
_OWN_HEADERS: Final = {
    "401": {"WWW-Authenticate": {"required": True, "schema": {"type": "string"}}},
    "415": {"Accept-Encoding": {"schema": {"type": "string"}}},
    "429": _RETRY_AFTER,
    "503": _RETRY_AFTER,
}


def document() -> dict[str, Any]:
    fetch_reply = _fetch("fetchReply", "The answer to a message that one sent to the queue oneself", [_SESSION, _ID])
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "flowbridge door",
            "version": release(),
            "description": "Answers of Power Automate flows over HTTPS, through a queue.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "security": [{"entra": []}],
        "paths": {
            "/v1/flows/{flow}": {"post": _ask()},
            "/v1/requests/{id}": {"get": _fetch("fetchAnswer", "An answer that was not there in time", [_ID])},
            "/v1/sessions": {"post": _open_session()},
            "/v1/sessions/{session}/replies/{id}": {"get": fetch_reply},
            "/openapi.json": {"get": _public("describe", "This document", {"200": _json({}, "It.")})},
            "/livez": {"get": _public("live", "Whether the process runs", {"200": _json(_HEALTH, "It does.")})},
            "/readyz": {"get": _public("ready", "Whether answers can come", _READINESS)},
        },
        "components": {
            "securitySchemes": {"entra": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
            "schemas": {"Problem": _PROBLEM, "Pending": _PENDING, "Session": _SESSION_PLACE},
        },
    }


def _json(schema: dict[str, Any], text: str) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _named(schema: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{schema}"}


_FLOW: Final = {
    "name": "flow",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "minLength": 1, "maxLength": 100},
}
_ID: Final = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "pattern": _REQUEST_ID}}
_SESSION: Final = {"name": "session", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
_WAIT: Final = {
    "name": "wait",
    "in": "query",
    "description": "Seconds to wait for the answer; the door may wait less.",
    "schema": {"type": "integer", "minimum": 0, "maximum": 999_999},
}
_PREFER: Final = {
    "name": "Prefer",
    "in": "header",
    "description": "`wait=N`: seconds to wait for the answer (RFC 7240). Other preferences are ignored.",
    "schema": {"type": "string"},
}
_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same for every sending of one request.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": _KEY_FORM},
}
_PROBLEM: Final = {
    "description": "RFC 9457",
    "type": "object",
    "required": ["type"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
}
_PENDING: Final = {
    "type": "object",
    "required": ["requestId", "answer"],
    "properties": {
        "requestId": {"type": "string", "pattern": _REQUEST_ID},
        "answer": {"type": "string", "description": "where it can be asked for"},
    },
}
_SESSION_PLACE: Final = {
    "type": "object",
    "required": ["replyTo", "replyToSessionId", "messageId", "reply", "expiresAt"],
    "properties": {
        "replyTo": {"type": "string", "description": "ReplyTo of the message"},
        "replyToSessionId": {"type": "string", "description": "ReplyToSessionId of the message"},
        "messageId": {"type": "string", "pattern": _REQUEST_ID, "description": "MessageId of the message"},
        "reply": {"type": "string", "description": "where its answer can be asked for"},
        "expiresAt": {"type": "integer", "description": "epoch seconds"},
    },
}
_HEALTH: Final = {
    "type": "object",
    "required": ["status"],
    "properties": {"status": {"type": "string"}, "reasons": {"type": "array", "items": {"type": "string"}}},
}
_READINESS: Final = {"200": _json(_HEALTH, "They can."), "503": _json(_HEALTH, "They can't, for these reasons.")}


def _ask() -> dict[str, Any]:
    return {
        "operationId": "askFlow",
        "summary": "Call a flow and wait for its answer",
        "parameters": [_FLOW, _KEY, _PREFER],
        "requestBody": {
            "description": "What the flow gets, with its content type.",
            "content": {"application/json": {"schema": {}}, "*/*": {"schema": {}}},
        },
        "responses": _answers("404", "408", "413", "504"),
    }


def _fetch(name: str, summary: str, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": summary,
        "parameters": [*parameters, _WAIT, _PREFER],
        "responses": _answers("404", "410", "504"),
    }


def _open_session() -> dict[str, Any]:
    place = _json(_named("Session"), "A place for one answer.")
    place["headers"] = {"Location": {"required": True, "schema": {"type": "string"}}}
    parameters = {"session": "$response.body#/replyToSessionId", "id": "$response.body#/messageId"}
    place["links"] = {"reply": {"operationId": "fetchReply", "parameters": parameters}}
    return {
        "operationId": "openSession",
        "summary": "Where the answer to a message that one sends to the queue oneself is to go",
        "responses": {"201": place, **{status: _refusal(status) for status in _ALWAYS}},
    }


def _public(name: str, summary: str, responses: dict[str, Any]) -> dict[str, Any]:
    refusals = {status: _refusal(status) for status in ("415", "431", "500", "501")}
    return {"operationId": name, "summary": summary, "security": [], "responses": {**responses, **refusals}}


def _answers(*refusals: str) -> dict[str, Any]:
    """Of a flow: any status may be its own."""
    headers = {name: {"description": text, "schema": {"type": "string"}} for name, text in _OUTCOME_HEADERS.items()}
    flows_own: dict[str, Any] = {"content": {"*/*": {"schema": {}}}, "headers": headers}
    own_too: dict[str, Any] = {}
    for status in sorted({*_ALWAYS, *refusals}):
        refusal = _refusal(status)
        own_too[status] = {
            "description": f"{refusal['description']} Or the flow's own.",
            "content": {**refusal["content"], **flows_own["content"]},
            "headers": {**headers, **{name: {**each, "required": False} for name, each in refusal["headers"].items()}},
        }
    return {
        "2XX": {"description": "The flow's own status, body and content type.", **flows_own},
        "202": _pending(),
        **own_too,
        "default": {"description": "The flow's own status, body and content type.", **flows_own},
    }


def _pending() -> dict[str, Any]:
    pending = _json(_named("Pending"), "The answer is not there yet; ask on at Location. Or the flow's own.")
    pending["content"]["*/*"] = {"schema": {}}
    pending["headers"] = {
        "Location": {"schema": {"type": "string"}},
        "Preference-Applied": {"schema": {"type": "string"}},
        **_RETRY_AFTER,
    }
    parameters = {"id": "$response.body#/requestId"}
    pending["links"] = {"answer": {"operationId": "fetchAnswer", "parameters": parameters}}
    return pending


def _refusal(status: str) -> dict[str, Any]:
    return {
        "description": _REFUSALS[status],
        "content": {PROBLEM_JSON: {"schema": _named("Problem")}},
        "headers": _OWN_HEADERS.get(status, {}),
    }
