import time
from uuid import UUID, uuid4

import pytest
from emulator.server.raw import SESSION_FILTER, RawClient, Requests, lock_token, message

from worker.emulator.amqp.message import (
    APPLICATION_PROPERTIES,
    MESSAGE_ANNOTATIONS,
    encode_section,
    read_data,
    read_sections,
    read_value,
)
from worker.emulator.amqp.types import Array, Int, Symbol, Timestamp, UInt, ULong
from worker.emulator.broker import MessageCounts
from worker.emulator.server import EmbeddedBroker


@pytest.fixture
async def plain(client: RawClient) -> Requests:
    return await Requests(client, "plain/$management").open()


@pytest.fixture
async def by_session(client: RawClient) -> Requests:
    return await Requests(client, "by-session/$management").open()


def tokens(*lock_tokens: UUID) -> Array:
    return Array(0x98, lock_tokens)


def longs(*numbers: int) -> Array:
    return Array(0x81, numbers)


@pytest.mark.parametrize("message_id", [ULong(5), uuid4(), b"\x01\x02", "text"])
async def test_the_answer_correlates_by_the_message_id_in_its_own_type(plain: Requests, message_id: object) -> None:
    _, _, correlation_id = await plain.ask({"operation": "com.microsoft:peek-message"}, {}, message_id=message_id)
    assert correlation_id == message_id
    assert type(correlation_id) is type(message_id)


async def test_peeking_an_empty_queue_answers_204(plain: Requests) -> None:
    told, body, _ = await plain.ask({"operation": "com.microsoft:peek-message"}, {"message-count": Int(5)})
    assert told["statusCode"] == 204
    assert isinstance(told["statusCode"], Int)
    assert "errorCondition" not in told
    assert body == {}


async def test_peeking_shows_messages_from_a_sequence_number_on(client: RawClient, plain: Requests) -> None:
    sender = await client.sender("plain")
    for number in range(3):
        await client.send(sender, message(b"%d" % number))
    status, body = await plain.manage("peek-message", from_sequence_number=2, message_count=Int(9))
    assert status == 200
    assert [read_data(each["message"]) for each in body["messages"]] == [[b"1"], [b"2"]]
    assert read_sections(body["messages"][0]["message"]).message_annotations["x-opt-sequence-number"] == 2


async def test_renewing_a_lock_answers_when_it_ends_now(client: RawClient, plain: Requests) -> None:
    await client.send(await client.sender("plain"), message())
    delivery = await client.receive(await client.receiver("plain", credit=1))
    status, body = await plain.manage("renew-lock", lock_tokens=tokens(lock_token(delivery)))
    assert status == 200
    (expiration,) = body["expirations"].items
    assert isinstance(expiration, Timestamp)
    assert 59_000 < expiration - time.time() * 1000 < 61_000


async def test_renewing_an_unknown_lock_answers_410(plain: Requests) -> None:
    refused = await plain.manage("renew-lock", lock_tokens=tokens(uuid4()))
    assert refused == (410, "com.microsoft:message-lock-lost")


@pytest.mark.parametrize(
    ("status", "counts"),
    [
        ("completed", MessageCounts()),
        ("abandoned", MessageCounts(ready=1)),
        ("defered", MessageCounts(deferred=1)),
        ("suspended", MessageCounts(dead_lettered=1)),
    ],
)
async def test_a_disposition_settles_by_lock_token(
    client: RawClient, broker: EmbeddedBroker, plain: Requests, status: str, counts: MessageCounts
) -> None:
    await client.send(await client.sender("plain"), message())
    delivery = await client.receive(await client.receiver("plain", credit=1))
    token = tokens(lock_token(delivery))
    answered, _ = await plain.manage("update-disposition", disposition_status=status, lock_tokens=token)
    assert answered == 200
    assert broker.facts.counts("plain") == counts


async def test_a_dead_letter_by_disposition_has_its_reason(client: RawClient, plain: Requests) -> None:
    await client.send(await client.sender("plain"), message())
    delivery = await client.receive(await client.receiver("plain", credit=1))
    why = {"deadletter_reason": "R", "deadletter_description": "D", "properties_to_modify": {"k": 1}}
    token = tokens(lock_token(delivery))
    await plain.manage("update-disposition", disposition_status="suspended", lock_tokens=token, **why)
    dead = await client.receive(await client.receiver("plain/$DeadLetterQueue", credit=1))
    expected = {"k": 1, "DeadLetterReason": "R", "DeadLetterErrorDescription": "D"}
    assert read_value(dead.payload, APPLICATION_PROPERTIES) == expected


async def test_a_scheduled_message_comes_when_it_is_due_unless_it_was_cancelled(
    client: RawClient, broker: EmbeddedBroker, plain: Requests
) -> None:
    due = Timestamp(int((time.time() + 0.3) * 1000))
    entries = [{"message-id": name, "message": _scheduled(name, due)} for name in ("kept", "cancelled")]
    status, body = await plain.manage("schedule-message", messages=entries)
    assert status == 200
    _, cancelled = body["sequence-numbers"].items
    assert broker.facts.counts("plain").scheduled == 2
    assert (await plain.manage("cancel-scheduled-message", sequence_numbers=longs(cancelled)))[0] == 200
    delivery = await client.receive(await client.receiver("plain", credit=1))
    assert read_sections(delivery.payload).properties.message_id == "kept"
    assert broker.facts.counts("plain") == MessageCounts(locked=1)
    refused = await plain.manage("cancel-scheduled-message", sequence_numbers=longs(cancelled))
    assert refused == (404, "com.microsoft:message-not-found")


def _scheduled(message_id: str, due: Timestamp) -> bytes:
    annotations = {Symbol("x-opt-scheduled-enqueue-time"): due}
    return encode_section(MESSAGE_ANNOTATIONS, annotations) + message(message_id=message_id)


async def test_deferred_messages_are_received_by_sequence_number(
    client: RawClient, broker: EmbeddedBroker, plain: Requests
) -> None:
    await client.send(await client.sender("plain"), message(b"later"))
    delivery = await client.receive(await client.receiver("plain", credit=1))
    token = tokens(lock_token(delivery))
    await plain.manage("update-disposition", disposition_status="defered", lock_tokens=token)
    status, body = await plain.manage(
        "receive-by-sequence-number", sequence_numbers=longs(1), receiver_settle_mode=UInt(1)
    )
    assert status == 200
    (handed_out,) = body["messages"]
    assert read_data(handed_out["message"]) == [b"later"]
    token = tokens(handed_out["lock-token"])
    assert (await plain.manage("update-disposition", disposition_status="completed", lock_tokens=token))[0] == 200
    assert broker.facts.counts("plain") == MessageCounts()


async def test_session_state_is_kept_under_the_sessions_lock(client: RawClient, by_session: Requests) -> None:
    await client.receiver("by-session", filters={SESSION_FILTER: "A"})
    assert (await by_session.manage("get-session-state", session_id="A")) == (200, {"session-state": None})
    assert (await by_session.manage("set-session-state", session_id="A", session_state=b"s"))[0] == 200
    assert (await by_session.manage("get-session-state", session_id="A")) == (200, {"session-state": b"s"})
    status, body = await by_session.manage("renew-session-lock", session_id="A")
    assert status == 200
    assert isinstance(body["expiration"], Timestamp)


async def test_without_the_lock_a_session_answers_410(by_session: Requests) -> None:
    refused = await by_session.manage("set-session-state", session_id="A", session_state=b"s")
    assert refused == (410, "com.microsoft:session-lock-lost")


async def test_sessions_with_messages_are_listed(client: RawClient, by_session: Requests) -> None:
    any_time = Timestamp(253_402_300_800_000)
    asked = {"last_updated_time": any_time, "skip": Int(0), "top": Int(10)}
    assert (await by_session.manage("get-message-sessions", **asked))[0] == 204
    sender = await client.sender("by-session")
    for session_id in ("B", "A"):
        await client.send(sender, message(session_id=session_id))
    status, body = await by_session.manage("get-message-sessions", **asked)
    assert status == 200
    assert body["sessions-ids"].items == ("A", "B")
    assert body["skip"] == 2


async def test_session_messages_are_peeked_session_by_session(client: RawClient, by_session: Requests) -> None:
    sender = await client.sender("by-session")
    for session_id in ("B", "A"):
        await client.send(sender, message(session_id.encode(), session_id=session_id))
    status, body = await by_session.manage("peek-message", session_id="A", message_count=Int(9))
    assert status == 200
    assert [read_data(each["message"]) for each in body["messages"]] == [[b"A"]]


@pytest.mark.parametrize(
    ("operation", "fields"),
    [
        ("renew-lock", {}),
        ("renew-lock", {"lock_tokens": "no"}),
        ("peek-message", {"message_count": "two"}),
        ("update-disposition", {"disposition_status": "eaten", "lock_tokens": []}),
        ("renew-session-lock", {"session_id": 5}),
        ("set-session-state", {"session_id": "A", "session_state": "text"}),
        ("schedule-message", {"messages": [{"message": b"\xff"}]}),
    ],
)
async def test_a_request_of_the_wrong_shape_answers_400(
    plain: Requests, operation: str, fields: dict[str, object]
) -> None:
    assert await plain.manage(operation, **fields) == (400, "com.microsoft:argument-error")


async def test_an_unknown_operation_answers_501(plain: Requests) -> None:
    assert (await plain.manage("make-coffee"))[0] == 501


async def test_answers_go_to_the_link_that_the_request_names(client: RawClient) -> None:
    both = [await Requests(client, "plain/$management").open() for _ in range(2)]
    for requests in both:
        assert (await requests.manage("peek-message"))[0] in {200, 204}


async def test_management_of_an_unknown_entity_is_not_found(client: RawClient) -> None:
    refused = await client.detached(await client.receiver("nowhere/$management"))
    assert refused.error is not None
    assert refused.error.condition == "amqp:not-found"


async def test_dead_letters_are_managed_too(client: RawClient) -> None:
    requests = await Requests(client, "plain/$DeadLetterQueue/$management").open()
    assert (await requests.manage("peek-message"))[0] == 204
