"""Service Bus' REST API, as far as it is here: a message is sent by `POST /{queue or topic}/messages`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final
from xml.sax.saxutils import escape

from aiohttp import web

from worker.emulator.amqp.message import DATA, encode_section
from worker.emulator.broker import BrokerError, EntityNotFoundError, MessageSizeExceededError
from worker.emulator.faults import SERVER_BUSY, Faults
from worker.emulator.server.auth import Auth, TokenRefusedError, check_authorization, key_name_of
from worker.emulator.server.conditions import meaning_of
from worker.emulator.server.floor import Floor
from worker.emulator.server.messages import read_messages
from worker.emulator.server.request_fields import RequestError
from worker.emulator.server.rest_message import encode_head
from worker.emulator.server.wire import TcpWire

MESSAGES: Final = "messages"
BATCH_TYPE: Final = "application/vnd.microsoft.servicebus.json"
BODY_S: Final = 60.0
_OTHER_STATUSES: Final[Mapping[type[BrokerError], int]] = {EntityNotFoundError: 410, MessageSizeExceededError: 403}
"""Where REST says it otherwise than management answers do."""


class _RefusedError(Exception):
    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


def names_messages(path: str) -> bool:
    """Whether it is `/{queue or topic}/messages`."""
    entity, _, last = path.strip("/").rpartition("/")
    return bool(entity) and last.casefold() == MESSAGES


class RestIntake:
    def __init__(self, *, floor: Floor, faults: Faults, auth: Auth) -> None:
        self._floor = floor
        self._faults = faults
        self._auth = auth

    async def answer(self, request: web.BaseRequest) -> web.Response:
        try:
            await self._take(request)
        except _RefusedError as refusal:
            return _refusal(refusal.status, str(refusal))
        except TokenRefusedError as error:
            return _refusal(401, str(error))
        except RequestError as error:
            return _refusal(400, str(error))
        except BrokerError as error:
            return _refusal(_OTHER_STATUSES.get(type(error), meaning_of(error).status), str(error))
        return web.Response(status=201, content_type="application/xml")

    async def _take(self, request: web.BaseRequest) -> None:
        """What can be refused without the body is, before the body."""
        if request.method != "POST":
            raise _RefusedError(405, f"messages are sent by POST, not by {request.method}")
        authorization = request.headers.get("Authorization", "")
        # The path as it came: a token for the entity covers it, and so does one made for this very URL.
        check_authorization(self._auth, header=authorization, audience=request.path, now=self._floor.now())
        facts = self._floor.broker.facts(request.path.strip("/").rpartition("/")[0])
        if request.content_type.casefold() == BATCH_TYPE:
            raise _RefusedError(501, "this broker takes no batches over HTTP: send each message by itself")
        head = encode_head(request.headers)
        body = await _read_body(request, facts.max_message_bytes)
        self._send(facts.path, head + encode_section(DATA, body), by=key_name_of(authorization))
        if self._faults.cuts_after_send(facts.path) and request.transport is not None:
            wire = request.transport.get_protocol()
            if isinstance(wire, TcpWire):
                wire.cut(resets=True)

    def _send(self, entity: str, encoded: bytes, *, by: str | None) -> None:
        self._floor.history.actor = by
        refusal = self._faults.refusal_of_send(entity)
        if refusal is not None:
            raise _RefusedError(503 if refusal.condition == SERVER_BUSY else 500, refusal.description or "")
        try:
            self._floor.send(entity, read_messages(encoded, 0))
        finally:
            self._floor.act_on_effects()


async def _read_body(request: web.BaseRequest, most_bytes: int) -> bytes:
    too_large = _RefusedError(403, f"the message is larger than {most_bytes} bytes, the most that is taken here")
    if (request.content_length or 0) > most_bytes:
        raise too_large
    if request.headers.get("Expect", "").casefold() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for piece in request.content.iter_any():
                body += piece
                if len(body) > most_bytes:
                    raise too_large
    except TimeoutError:
        raise _RefusedError(408, f"the body did not come within {BODY_S:g} s") from None
    except (web.RequestPayloadError, ConnectionError) as broken:
        raise _RefusedError(400, f"the body did not come whole: {broken}") from None
    return bytes(body)


def _refusal(status: int, detail: str) -> web.Response:
    """The rest of the request isn't waited for."""
    text = f"<Error><Code>{status}</Code><Detail>{escape(detail)}</Detail></Error>"
    response = web.Response(status=status, text=text, content_type="application/xml")
    if status == 405:
        response.headers["Allow"] = "POST"
    response.force_close()
    return response
