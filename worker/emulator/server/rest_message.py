"""A message as the REST API has it: HTTP's headers in, the sections of an AMQP message out. Pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from worker.emulator.amqp.errors import LocalProtocolError
from worker.emulator.amqp.message import (
    APPLICATION_PROPERTIES,
    MESSAGE_ANNOTATIONS,
    Header,
    Properties,
    encode_header,
    encode_properties,
    encode_section,
)
from worker.emulator.amqp.performatives import Map
from worker.emulator.broker import PropertyValue
from worker.emulator.server.messages import PARTITION_KEY, SCHEDULED_FOR, UINT_MAX, timestamp
from worker.emulator.server.request_fields import Fields, RequestError

BROKER_PROPERTIES: Final = "BrokerProperties"
_LONGS: Final = range(-(2**63), 2**63)
_OF_HTTP_ITSELF: Final = re.compile(
    r"(accept|content|proxy|x-forwarded)-.*|accept|authorization|brokerproperties|cache-control|connection|cookie|date|"
    r"expect|from|host|keep-alive|pragma|te|trailer|transfer-encoding|upgrade|user-agent|via|x-ms-retrypolicy",
    re.IGNORECASE,
)
"""Every other header is an application property."""


def encode_head(headers: Mapping[str, str]) -> bytes:
    """All sections before the body. `headers` forgives letter case. Raises RequestError."""
    given = _broker_properties(headers.get(BROKER_PROPERTIES, "{}"))
    fields = Fields(given)
    properties = Properties(
        message_id=fields.optional_text("MessageId") or None,
        to=fields.optional_text("To"),
        subject=fields.optional_text("Label"),
        reply_to=fields.optional_text("ReplyTo"),
        correlation_id=fields.optional_text("CorrelationId"),
        content_type=headers.get("Content-Type"),
        group_id=fields.optional_text("SessionId"),
        reply_to_group_id=fields.optional_text("ReplyToSessionId"),
    )
    annotations: Map = {PARTITION_KEY: fields.optional_text("PartitionKey")}
    scheduled_for = fields.optional_text("ScheduledEnqueueTimeUtc")
    if scheduled_for is not None:
        annotations[SCHEDULED_FOR] = timestamp(_moment(scheduled_for).timestamp())
    own: Map = {name: _value(text) for name, text in headers.items() if not _OF_HTTP_ITSELF.fullmatch(name)}
    try:
        return b"".join(
            (
                encode_header(Header(durable=True, ttl=_time_to_live_ms(given.get("TimeToLive")))),
                encode_section(MESSAGE_ANNOTATIONS, {key: value for key, value in annotations.items() if value}),
                encode_properties(properties),
                encode_section(APPLICATION_PROPERTIES, own) if own else b"",
            )
        )
    except (LocalProtocolError, UnicodeEncodeError):
        raise RequestError("headers are UTF-8, and Content-Type is ASCII") from None


def _broker_properties(text: str) -> dict[str, object]:
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"{BROKER_PROPERTIES} is no JSON: {error}") from None
    if not isinstance(given, dict):
        raise RequestError(f"{BROKER_PROPERTIES} is a JSON object, not {type(given).__name__}")
    return given


def _time_to_live_ms(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise RequestError(f"TimeToLive is a number of seconds above 0, not {value!r}")
    return round(min(value, UINT_MAX // 1000) * 1000)


def _moment(text: str) -> datetime:
    """As in HTTP's own dates, or ISO 8601; UTC unless it says otherwise."""
    readers: tuple[Callable[[str], datetime], ...] = (datetime.fromisoformat, parsedate_to_datetime)
    for read in readers:
        with suppress(ValueError, OverflowError):
            moment = read(text.strip())
            return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    raise RequestError(f"ScheduledEnqueueTimeUtc is a time as in 'Sun, 06 Nov 1994 08:49:37 GMT', not {text!r}")


def _value(text: str) -> PropertyValue:
    """A string in JSON's quotes, a number or a boolean; what is none of them counts as it stands."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    match value:
        case bool() | str():
            return value
        case int() if value in _LONGS:
            return value
        case float() if math.isfinite(value):
            return value
        case _:
            return text
