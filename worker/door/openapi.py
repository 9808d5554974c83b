"""The door's own description (OpenAPI 3.1), served at `/openapi.json`."""

from importlib.metadata import version
from typing import Any, Final

_REQUEST_ID: Final = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.[0-9]{1,12}\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{22}$"
_FLOWBRIDGE: Final = {
    "Flowbridge-Outcome": "answered, refused, unavailable, indeterminate, expired or rejected",
    "Flowbridge-Request-Id": "by which the answer can be asked for",
    "Flowbridge-Run-Id": "of the flow's run, where there was one",
    "Flowbridge-Attempts": "HTTP requests that were made to the flow",
}
_REFUSALS: Final = {
    "400": "The request is wrong.",
    "401": "No token, or none that is good.",
    "403": "This identity may not.",
    "413": "The body is too large.",
    "408": "The body came too slowly.",
    "429": "More than this caller may ask for at once.",
    "500": "A defect of the door.",
    "503": "The flow did not run, or the door can't ask now; again after Retry-After.",
    "504": "The flow may have run, or the time was over.",
}


def document() -> dict[str, Any]:
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "flowbridge door",
            "version": version("flowbridge"),
            "description": "Answers of Power Automate flows over HTTPS, through a queue.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "security": [{"entra": []}],
        "paths": {
            "/v1/flows/{flow}": {"post": _ask()},
            "/v1/requests/{id}": {"get": _fetch("fetchAnswer", "An answer that was not there in time", [_ID])},
            "/v1/sessions": {"post": _session()},
            "/v1/sessions/{session}/replies/{id}": {
                "get": _fetch("fetchReply", "The answer to a message of one's own", [_SESSION, _ID])
            },
        },
        "components": {
            "securitySchemes": {"entra": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
            "schemas": {"Problem": _PROBLEM, "Pending": _PENDING, "Session": _SESSION_PLACE},
        },
    }


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
    "description": "Seconds to wait for the answer.",
    "schema": {"type": "integer", "minimum": 0, "maximum": 999_999},
}
_PREFER: Final = {
    "name": "Prefer",
    "in": "header",
    "description": "`wait=N`: seconds to wait for the answer (RFC 7240).",
    "schema": {"type": "string", "pattern": "^wait=[0-9]{1,6}$"},
}
_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same for every sending of one request.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]+$"},
}
_PROBLEM: Final = {
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
    "properties": {"requestId": {"type": "string"}, "answer": {"type": "string"}},
}
_SESSION_PLACE: Final = {
    "type": "object",
    "required": ["replyTo", "replyToSessionId", "messageId", "reply", "expiresAt"],
    "properties": {
        "replyTo": {"type": "string", "description": "ReplyTo of the message"},
        "replyToSessionId": {"type": "string", "description": "ReplyToSessionId of the message"},
        "messageId": {"type": "string", "description": "MessageId of the message"},
        "reply": {"type": "string", "description": "where its answer can be asked for"},
        "expiresAt": {"type": "integer", "description": "epoch seconds"},
    },
}


def _ask() -> dict[str, Any]:
    return {
        "operationId": "askFlow",
        "summary": "Call a flow and wait for its answer",
        "parameters": [_FLOW, _KEY, _PREFER],
        "requestBody": {"content": {"*/*": {"schema": {}}}, "required": False},
        "responses": {**_answers(), **_refusals("404")},
    }


def _fetch(name: str, summary: str, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": summary,
        "parameters": [*parameters, _WAIT, _PREFER],
        "responses": {**_answers(), **_refusals("404", "410")},
    }


def _session() -> dict[str, Any]:
    return {
        "operationId": "openSession",
        "summary": "Where the answer to a message that one sends to the queue oneself is to go",
        "responses": {"201": _json("Session", "A place for one answer."), **_refusals()},
    }


def _answers() -> dict[str, Any]:
    headers = {name: {"description": text, "schema": {"type": "string"}} for name, text in _FLOWBRIDGE.items()}
    flows_own = {"description": "The flow's own status, body and content type.", "headers": headers}
    pending = _json("Pending", "The answer is not there yet; ask on at Location.")
    pending["headers"] = {"Location": {"schema": {"type": "string"}}, "Retry-After": {"schema": {"type": "integer"}}}
    return {
        "2XX": {**flows_own, "content": {"*/*": {"schema": {}}}},
        "202": pending,
        "default": {**flows_own, "content": {"*/*": {"schema": {}}}},
    }


def _refusals(*more: str) -> dict[str, Any]:
    texts = {**_REFUSALS, "404": "There is none.", "410": "It was kept for a while, and is gone."}
    return {status: _problem(texts[status]) for status in (*_REFUSALS, *more)}


def _problem(text: str) -> dict[str, Any]:
    return {
        "description": text,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}, "*/*": {}},
    }


def _json(schema: str, text: str) -> dict[str, Any]:
    return {
        "description": text,
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}},
    }
