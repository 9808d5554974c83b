"""Performatives to bytes and back: for each its descriptor and the types of its fields."""

from __future__ import annotations

import struct
from typing import Any, Final

from worker.emulator.amqp.decode import CONSTRUCTORS, FOREIGN_ERRORS, MAX_NESTING, as_decode_error
from worker.emulator.amqp.encode import NULL
from worker.emulator.amqp.errors import DecodeError, LocalProtocolError
from worker.emulator.amqp.fields import (
    ANY,
    BINARY,
    BOOLEAN,
    MAP,
    STRING,
    SYMBOL,
    SYMBOLS,
    UBYTE,
    UINT,
    ULONG,
    USHORT,
    Composite,
    Field,
    Kind,
    one_of,
    read_descriptor,
)
from worker.emulator.amqp.performatives import (
    NO_LIMIT,
    Accepted,
    Attach,
    Begin,
    Close,
    Coordinator,
    DeliveryState,
    Detach,
    Disposition,
    End,
    Error,
    Flow,
    Modified,
    Open,
    Performative,
    Received,
    Rejected,
    Released,
    SaslChallenge,
    SaslInit,
    SaslMechanisms,
    SaslOutcome,
    SaslPerformative,
    SaslResponse,
    Source,
    Target,
    Transfer,
)


def _must(kind: Kind) -> Field:
    return Field(kind, is_mandatory=True)


_ERROR = Composite(0x1D, Error, _must(SYMBOL), Field(STRING), Field(MAP))


def _writing(kind: Kind, writers: dict[type, Composite], otherwise: Any = None) -> Kind:
    def write(value: tuple[object, ...]) -> bytes:
        composite = writers.get(type(value))
        if composite is not None:
            return composite.write(value)
        encoded: bytes = otherwise(value)
        return encoded

    return Kind(kind.readers, write)


_ERROR_FIELD = Field(_writing(one_of(_ERROR), {Error: _ERROR}))
_STATES = {
    Received: Composite(0x23, Received, _must(UINT), _must(ULONG)),
    Accepted: Composite(0x24, Accepted),
    Rejected: Composite(0x25, Rejected, _ERROR_FIELD),
    Released: Composite(0x26, Released),
    Modified: Composite(0x27, Modified, Field(BOOLEAN, default=False), Field(BOOLEAN, default=False), Field(MAP)),
}
_STATE = Field(_writing(one_of(*_STATES.values(), otherwise=CONSTRUCTORS[0x00]), dict(_STATES), ANY.write))
_TERMINUS = (
    Field(ANY),
    Field(UINT, 0),
    Field(SYMBOL, "session-end"),
    Field(UINT, 0),
    Field(BOOLEAN, default=False),
    Field(MAP),
)
_SOURCE = Composite(
    0x28, Source, *_TERMINUS, Field(SYMBOL), Field(MAP), Field(ANY), Field(SYMBOLS, ()), Field(SYMBOLS, ())
)
_TARGET = Composite(0x29, Target, *_TERMINUS, Field(SYMBOLS, ()))
_COORDINATOR = Composite(0x30, Coordinator, Field(SYMBOLS, ()))
_TARGETS = {Target: _TARGET, Coordinator: _COORDINATOR}

FRAMES: Final[dict[type, Composite]] = {
    Open: Composite(
        0x10,
        Open,
        _must(STRING),
        Field(STRING),
        Field(UINT, NO_LIMIT),
        Field(USHORT, 0xFFFF),
        Field(UINT),
        *[Field(SYMBOLS, ())] * 4,
        Field(MAP),
    ),
    Begin: Composite(
        0x11,
        Begin,
        Field(USHORT),
        _must(UINT),
        _must(UINT),
        _must(UINT),
        Field(UINT, NO_LIMIT),
        Field(SYMBOLS, ()),
        Field(SYMBOLS, ()),
        Field(MAP),
    ),
    Attach: Composite(
        0x12,
        Attach,
        _must(STRING),
        _must(UINT),
        _must(BOOLEAN),
        Field(UBYTE, 2),
        Field(UBYTE, 0),
        Field(_writing(one_of(_SOURCE), {Source: _SOURCE})),
        Field(_writing(one_of(_TARGET, _COORDINATOR), dict(_TARGETS))),
        Field(MAP),
        Field(BOOLEAN, default=False),
        Field(UINT),
        Field(ULONG),
        Field(SYMBOLS, ()),
        Field(SYMBOLS, ()),
        Field(MAP),
    ),
    Flow: Composite(
        0x13,
        Flow,
        Field(UINT),
        _must(UINT),
        _must(UINT),
        _must(UINT),
        *[Field(UINT)] * 4,
        Field(BOOLEAN, default=False),
        Field(BOOLEAN, default=False),
        Field(MAP),
    ),
    Transfer: Composite(
        0x14,
        Transfer,
        _must(UINT),
        Field(UINT),
        Field(BINARY),
        Field(UINT),
        Field(BOOLEAN),
        Field(BOOLEAN, default=False),
        Field(UBYTE),
        _STATE,
        *[Field(BOOLEAN, default=False)] * 3,
    ),
    Disposition: Composite(
        0x15,
        Disposition,
        _must(BOOLEAN),
        _must(UINT),
        Field(UINT),
        Field(BOOLEAN, default=False),
        _STATE,
        Field(BOOLEAN, default=False),
    ),
    Detach: Composite(0x16, Detach, _must(UINT), Field(BOOLEAN, default=False), _ERROR_FIELD),
    End: Composite(0x17, End, _ERROR_FIELD),
    Close: Composite(0x18, Close, _ERROR_FIELD),
}
SASL_FRAMES: Final[dict[type, Composite]] = {
    SaslMechanisms: Composite(0x40, SaslMechanisms, _must(SYMBOLS)),
    SaslInit: Composite(0x41, SaslInit, _must(SYMBOL), Field(BINARY), Field(STRING)),
    SaslChallenge: Composite(0x42, SaslChallenge, _must(BINARY)),
    SaslResponse: Composite(0x43, SaslResponse, _must(BINARY)),
    SaslOutcome: Composite(0x44, SaslOutcome, _must(UBYTE), Field(BINARY)),
}
_AMQP_BY_CODE = {composite.code: composite for composite in FRAMES.values()}
_SASL_BY_CODE = {composite.code: composite for composite in SASL_FRAMES.values()}
_SYMBOLIC: Final = {
    f"amqp:{name}:list": code
    for code, name in {
        0x10: "open", 0x11: "begin", 0x12: "attach", 0x13: "flow", 0x14: "transfer", 0x15: "disposition",
        0x16: "detach", 0x17: "end", 0x18: "close", 0x40: "sasl-mechanisms", 0x41: "sasl-init",
        0x42: "sasl-challenge", 0x43: "sasl-response", 0x44: "sasl-outcome",
    }.items()
}  # fmt: skip


def encode_performative(performative: Performative) -> bytes:
    """Raises LocalProtocolError for a field outside its type."""
    try:
        return FRAMES[type(performative)].write(performative)
    except (struct.error, OverflowError, ValueError, AttributeError, TypeError) as error:
        raise LocalProtocolError(f"{performative!r} cannot be encoded: {error}") from error


def encode_state(state: DeliveryState | None) -> bytes:
    if isinstance(state, Accepted):
        return b"\x00\x53\x24\x45"
    return NULL if state is None else _STATE.kind.write(state)


def encode_sasl(performative: SaslPerformative) -> bytes:
    return SASL_FRAMES[type(performative)].write(performative)


def decode_performative(body: bytes) -> tuple[Performative, int]:
    """The performative and where its payload begins. Raises DecodeError."""
    performative, position = _decode(body, _AMQP_BY_CODE)
    return performative, position


def decode_sasl(body: bytes) -> SaslPerformative:
    """Raises DecodeError."""
    performative: SaslPerformative = _decode(body, _SASL_BY_CODE)[0]
    return performative


def _decode(body: bytes, composites: dict[int, Composite]) -> tuple[Any, int]:
    try:
        code, position = read_descriptor(body, 0, _SYMBOLIC)
        composite = composites.get(code) if code is not None else None
        if composite is None:
            raise DecodeError("no performative that a frame of this type can have")
        return composite.read(body, position, MAX_NESTING)
    except FOREIGN_ERRORS as error:
        raise as_decode_error(error) from error
