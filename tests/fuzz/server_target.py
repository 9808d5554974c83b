"""A whole connection to the embedded broker, without sockets: what a client says, in any order and of any content."""

from typing import Final

from bridge.virtual_time import in_virtual_time
from emulator.amqp.test_codec_properties import scalars
from hypothesis import strategies as st

from fuzz.broker_targets import MESSAGE, fresh_floor, request, see_to_all
from fuzz.messages import APPLICATION, DATA, PROPERTIES, encoded, messages
from fuzz.target import Target, assert_fit_to_say
from worker.emulator.amqp.connection import Connection
from worker.emulator.amqp.errors import RemoteProtocolError
from worker.emulator.amqp.frames import AMQP_HEADER, encode_frame
from worker.emulator.amqp.performative_codec import encode_performative
from worker.emulator.amqp.performatives import (
    RECEIVER,
    SENDER,
    Accepted,
    Attach,
    Begin,
    DeliveryState,
    Detach,
    Disposition,
    End,
    Error,
    Flow,
    Modified,
    Open,
    Performative,
    Rejected,
    Released,
    Source,
    Transfer,
)
from worker.emulator.amqp.performatives import Target as Terminus
from worker.emulator.amqp.types import Described, Symbol
from worker.emulator.faults import Faults
from worker.emulator.server.auth import Admission, AnyToken
from worker.emulator.server.messages import BATCH_FORMAT
from worker.emulator.server.peer import MECHANISMS, Peer


class _NoListener:
    def stop_listening(self) -> None: ...
    async def listen(self) -> None: ...


class _MemoryWire:
    is_congested = False

    def flush_soon(self) -> None: ...
    def cut(self, *, resets: bool) -> None: ...


def _server(data: bytes) -> None:
    in_virtual_time(_served(data))


async def _served(data: bytes) -> None:
    floor = fresh_floor()
    floor.broker.send("q", [MESSAGE, MESSAGE], floor.now())
    engine = Connection(is_server=True, now=0.0, mechanisms=MECHANISMS)
    peer = Peer(
        engine,
        _MemoryWire(),
        floor=floor,
        faults=Faults((), _NoListener(), floor),
        admission=Admission(AnyToken()),
    )
    engine.receive_data(data, 0.0)
    try:
        while (event := engine.next_event()) is not None:
            peer.hear(event)
    except RemoteProtocolError as error:
        assert_fit_to_say(str(error))
    engine.data_to_send()
    floor.act_on_effects()
    peer.lost()
    see_to_all(floor)
    floor.close()


def _on(performative: Performative, payload: bytes = b"") -> bytes:
    return encode_frame(0, encode_performative(performative) + payload)


def _asking(node: str, handle: int) -> tuple[bytes, bytes]:
    return (
        _on(
            Attach(f"{node}-out", handle, SENDER, source=Source("me"), target=Terminus(node), initial_delivery_count=0)
        ),
        _on(Attach(f"{node}-in", handle + 1, RECEIVER, source=Source(node), target=Terminus("me"))),
    )


GREETING: Final = (AMQP_HEADER, _on(Open("peer", "host", 65_536, 10, 60_000)), _on(Begin(None, 0, 5000, 5000)))
_NEXT_SESSION: Final[dict[object, object]] = {
    Symbol("com.microsoft:session-filter"): Described(Symbol("com.microsoft:session-filter"), None)
}
_SENT: Final = encoded((PROPERTIES, ["m-1", *[None] * 9, "a"]), (APPLICATION, {"colour": "red"}), (DATA, b"body"))
FRAMES: Final = (
    *_asking("q/$management", 0),
    *_asking("$cbs", 2),
    _on(Attach("to-q", 4, SENDER, source=Source("x"), target=Terminus("q"), initial_delivery_count=0)),
    _on(Attach("to-t", 5, SENDER, source=Source("x"), target=Terminus("amqps://host/t"), initial_delivery_count=0)),
    _on(Attach("to-s", 6, SENDER, source=Source("x"), target=Terminus("by-session"), initial_delivery_count=0)),
    _on(Attach("from-q", 7, RECEIVER, source=Source("q"), target=Terminus("x"))),
    _on(Attach("from-s", 8, RECEIVER, source=Source("by-session", filter=_NEXT_SESSION), target=Terminus("x"))),
    _on(Attach("from-t", 9, RECEIVER, source=Source("t/Subscriptions/s"), target=Terminus("x"))),
    _on(Attach("from-d", 10, RECEIVER, snd_settle_mode=1, source=Source("q/$DeadLetterQueue"), target=Terminus("x"))),
    *[_on(Flow(0, 5000, 0, 5000, handle, 0, 10)) for handle in (1, 3, 7, 8, 9, 10)],
    *[_on(Transfer(handle, number, b"t", 0), _SENT) for number, handle in enumerate((4, 5, 6))],
    _on(
        Transfer(0, 3, b"t", 0), request("com.microsoft:peek-message", {"from-sequence-number": 0, "message-count": 5})
    ),
    _on(Transfer(2, 4, b"t", 0), request("put-token", "token", name="q", type="jwt")),
    _on(Disposition(RECEIVER, 0, 9, settled=True, state=Accepted())),
    _on(Disposition(RECEIVER, 0, 9, settled=False, state=Rejected(None))),
    _on(Disposition(RECEIVER, 0, 9, settled=True, state=Modified(delivery_failed=True, undeliverable_here=False))),
    _on(Detach(7, closed=True)),
    _on(Detach(4, closed=True)),
    _on(End()),
)

_ADDRESSES: Final = st.sampled_from(
    (
        "q",
        "by-session",
        "t",
        "T/subscriptions/S",
        "q/$DeadLetterQueue",
        "q/$management",
        "$cbs",
        "sb://h/q",
        "sb://[",
        "",
    )
)
_HANDLES: Final = st.integers(0, 10)
_IDS: Final = st.integers(0, 12) | st.sampled_from((2**31, 2**32 - 1))
_MAPS: Final = st.none() | st.dictionaries(
    st.sampled_from(
        [
            Symbol(name)
            for name in (
                "com.microsoft:session-filter",
                "com.microsoft:timeout",
                "DeadLetterReason",
                "DeadLetterErrorDescription",
                "x",
            )
        ]
    )
    | scalars.filter(lambda key: key == key),  # noqa: PLR0124 - a NaN is no key to find again
    scalars | st.lists(scalars, max_size=2),
    max_size=3,
)
_STATES: Final[st.SearchStrategy[DeliveryState | None]] = st.one_of(
    st.sampled_from((None, Accepted(), Released())),
    st.tuples(st.booleans(), st.booleans(), _MAPS).map(lambda fields: Modified(*fields)),
    _MAPS.map(lambda info: Rejected(Error("amqp:x", "why", info))),
)
_ATTACHES: Final = st.tuples(
    st.text(max_size=4),
    _HANDLES,
    st.booleans(),
    st.integers(0, 3),
    st.integers(0, 2),
    st.tuples(_ADDRESSES | scalars, _MAPS).map(lambda fields: Source(fields[0], filter=fields[1])) | st.none(),
    (_ADDRESSES | scalars).map(Terminus) | st.none(),
    st.none(),
    st.booleans(),
    st.none() | _IDS,
    st.none() | _IDS,
    st.just(()),
    st.just(()),
    _MAPS,
).map(lambda fields: Attach(*fields))
_FLOWS: Final = st.tuples(
    st.none() | _IDS, _IDS, _IDS, _IDS, st.none() | _HANDLES, _IDS, _IDS, _IDS, st.booleans(), st.booleans()
).map(lambda fields: Flow(*fields))
_DISPOSITIONS: Final = st.tuples(st.booleans(), _IDS, st.none() | _IDS, st.booleans(), _STATES).map(
    lambda fields: Disposition(*fields)
)
_TRANSFERS: Final = st.tuples(
    _HANDLES, _IDS, st.just(b"t"), st.sampled_from((0, BATCH_FORMAT)), st.booleans(), st.booleans()
).map(lambda fields: Transfer(*fields))
_PAYLOADS: Final = st.one_of(
    messages,
    st.binary(max_size=9),
    st.lists(messages.map(lambda each: encoded((DATA, each))), max_size=2).map(b"".join),
)
_DETACHES: Final = st.tuples(_HANDLES, st.booleans()).map(lambda fields: Detach(*fields))
_SAID: Final[st.SearchStrategy[bytes]] = st.one_of(
    st.sampled_from(FRAMES),
    st.one_of(_ATTACHES, _FLOWS, _DISPOSITIONS, _DETACHES).map(_on),
    st.tuples(_TRANSFERS, _PAYLOADS).map(lambda fields: _on(*fields)),
)

SERVER_TARGET: Final = Target(
    name="server",
    check=_server,
    made=st.lists(_SAID, max_size=25).map(lambda frames: b"".join((*GREETING, *frames))),
    covers=("emulator",),
    tokens=FRAMES,
)
