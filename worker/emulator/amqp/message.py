"""Message sections (part 3.2), read no further than needed: the bare message stays the bytes its sender wrote."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple, cast

from worker.emulator.amqp import types
from worker.emulator.amqp.decode import FOREIGN_ERRORS, MAX_NESTING, as_decode_error, decode, skip
from worker.emulator.amqp.encode import described, encode
from worker.emulator.amqp.errors import DecodeError
from worker.emulator.amqp.fields import (
    BINARY,
    BOOLEAN,
    ID,
    STRING,
    SYMBOL,
    TIMESTAMP,
    UBYTE,
    UINT,
    Composite,
    Field,
    read_descriptor,
)
from worker.emulator.amqp.performatives import Map

HEADER: Final = 0x70
DELIVERY_ANNOTATIONS: Final = 0x71
MESSAGE_ANNOTATIONS: Final = 0x72
PROPERTIES: Final = 0x73
APPLICATION_PROPERTIES: Final = 0x74
DATA: Final = 0x75
AMQP_SEQUENCE: Final = 0x76
AMQP_VALUE: Final = 0x77
FOOTER: Final = 0x78
_REPEATABLE: Final = frozenset({DATA, AMQP_SEQUENCE})


class Header(NamedTuple):
    durable: bool = False
    priority: int = 4
    ttl: int | None = None
    """Milliseconds."""
    first_acquirer: bool = False
    delivery_count: int = 0


class Properties(NamedTuple):
    message_id: object = None
    """ulong, uuid, binary or string."""
    user_id: bytes | None = None
    to: str | None = None
    subject: str | None = None
    reply_to: str | None = None
    correlation_id: object = None
    content_type: str | None = None
    content_encoding: str | None = None
    absolute_expiry_time: types.Timestamp | None = None
    creation_time: types.Timestamp | None = None
    group_id: str | None = None
    group_sequence: int | None = None
    reply_to_group_id: str | None = None


_HEADER = Composite(
    HEADER,
    Header,
    Field(BOOLEAN, default=False),
    Field(UBYTE, 4),
    Field(UINT),
    Field(BOOLEAN, default=False),
    Field(UINT, 0),
)
_PROPERTIES = Composite(
    PROPERTIES,
    Properties,
    Field(ID),
    Field(BINARY),
    Field(STRING),
    Field(STRING),
    Field(STRING),
    Field(ID),
    Field(SYMBOL),
    Field(SYMBOL),
    Field(TIMESTAMP),
    Field(TIMESTAMP),
    Field(STRING),
    Field(UINT),
    Field(STRING),
)
_SYMBOLIC: Final = {
    "amqp:header:list": HEADER,
    "amqp:delivery-annotations:map": DELIVERY_ANNOTATIONS,
    "amqp:message-annotations:map": MESSAGE_ANNOTATIONS,
    "amqp:properties:list": PROPERTIES,
    "amqp:application-properties:map": APPLICATION_PROPERTIES,
    "amqp:data:binary": DATA,
    "amqp:amqp-sequence:list": AMQP_SEQUENCE,
    "amqp:amqp-value:*": AMQP_VALUE,
    "amqp:footer:map": FOOTER,
}


class Span(NamedTuple):
    """A section: where it begins, where its value begins, where it ends."""

    section: int
    start: int
    value: int
    end: int


def spans(message: bytes) -> Iterator[Span]:
    """Sections in the order they stand. Raises DecodeError."""
    position, before = 0, 0
    try:
        while position < len(message):
            code, value = read_descriptor(message, position, _SYMBOLIC)
            if code is None or not HEADER <= code <= FOOTER:
                raise DecodeError("a message's section was expected")
            if code < before or (code == before and code not in _REPEATABLE):
                raise DecodeError(f"section 0x{code:02x} came behind 0x{before:02x}")
            before = code
            end = skip(message, value)
            yield Span(code, position, value, end)
            position = end
    except FOREIGN_ERRORS as error:
        raise as_decode_error(error) from error


class Sections(NamedTuple):
    header: Header
    message_annotations: Map
    properties: Properties
    bare: bytes
    """From the properties on: what only the sender may write."""


def read_sections(message: bytes) -> Sections:
    """Raises DecodeError. The body is only checked to have an end."""
    header, annotations, properties, bare_at = Header(), cast("Map", {}), Properties(), len(message)
    for span in spans(message):
        if span.section == HEADER:
            header = _read(_HEADER, message, span.value)
        elif span.section == MESSAGE_ANNOTATIONS:
            annotations = read_map(message, span.value)
        elif span.section == PROPERTIES:
            properties = _read(_PROPERTIES, message, span.value)
        if span.section >= PROPERTIES:
            bare_at = min(bare_at, span.start)
    return Sections(header, annotations, properties, message[bare_at:])


def _read(composite: Composite, message: bytes, value: int) -> Any:
    try:
        return composite.read(message, value, MAX_NESTING)[0]
    except FOREIGN_ERRORS as error:
        raise as_decode_error(error) from error


def read_map(message: bytes, value: int) -> Map:
    """Annotations or application properties. Raises DecodeError."""
    entries, _ = decode(message, value)
    if not isinstance(entries, dict):
        raise DecodeError("annotations and application properties are maps")
    return entries


def read_value(message: bytes, section: int) -> object:
    """The value of the first such section, None without one. Raises DecodeError."""
    for span in spans(message):
        if span.section == section:
            return decode(message, span.value)[0]
    return None


def read_data(message: bytes) -> list[bytes]:
    """What each of a message's data sections holds. Raises DecodeError."""
    found = []
    for span in spans(message):
        if span.section == DATA:
            data, _ = decode(message, span.value)
            if not isinstance(data, bytes):
                raise DecodeError("a data section holds binary")
            found.append(data)
    return found


def encode_header(header: Header) -> bytes:
    return _HEADER.write(header)


def encode_properties(properties: Properties) -> bytes:
    return _PROPERTIES.write(properties)


def encode_section(section: int, value: object) -> bytes:
    return described(section, encode(value))


def replace_section(bare: bytes, section: int, encoded: bytes) -> bytes:
    """`bare` with this section in the place of its own, or put where such a section stands."""
    start = end = len(bare)
    for span in spans(bare):
        if span.section == section:
            start, end = span.start, span.end
            break
        if span.section > section:
            start = end = span.start
            break
    return bare[:start] + encoded + bare[end:]
