import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.core import address
from worker.core.delivery import Delivery
from worker.core.outcome import Reason, Rejected
from worker.core.request import Destination, OneWay, ReturnAddress

from .conftest import Deliver, delivery_of

HOST = "contoso.servicebus.windows.net"
QUEUES = ("flow-replies", "Other-Replies")


def resolve(delivery: Delivery, queues: tuple[str, ...] = QUEUES) -> Destination | Rejected:
    return address.resolve(delivery, reply_queues=queues, namespace_host=HOST)


def reason_of(resolved: Destination | Rejected) -> Reason:
    assert isinstance(resolved, Rejected)
    return resolved.reason


def test_without_reply_to_and_reply_session_a_request_is_one_way(deliver: Deliver) -> None:
    assert resolve(deliver()) == OneWay()
    assert resolve(deliver(session_id="its own"), queues=()) == OneWay()


@pytest.mark.parametrize(
    ("reply_to", "queue"),
    [
        ("flow-replies", "flow-replies"),
        ("FLOW-Replies", "flow-replies"),
        ("other-replies", "Other-Replies"),
        (f"sb://{HOST}/flow-replies", "flow-replies"),
        (f"sb://{HOST}/flow-replies/", "flow-replies"),
        (f"amqp://{HOST}:5672/flow-replies", "flow-replies"),
        (f"AMQPS://{HOST.upper()}/Flow-Replies", "flow-replies"),
        (f"amqps://{HOST}/flow%2Dreplies", "flow-replies"),
    ],
)
def test_an_allowed_queue_may_be_named_or_addressed_on_the_own_namespace(
    deliver: Deliver, reply_to: str, queue: str
) -> None:
    resolved = resolve(deliver(reply_to=reply_to, reply_to_session_id="s"))
    assert resolved == ReturnAddress(queue=queue, session_id="s")


@pytest.mark.parametrize(
    "reply_to",
    [
        "elsewhere",
        "flow-replies2",
        "/",
        "sb://evil.servicebus.windows.net/flow-replies",
        f"sb://{HOST}.evil.net/flow-replies",
        f"sb://{HOST}@evil.net/flow-replies",
        f"sb://evil.net#{HOST}/flow-replies",
        f"https://{HOST}/flow-replies",
        f"sb://{HOST}/",
        f"sb://{HOST}/other/flow-replies",
        "sb:///flow-replies",
        "sb://[half/flow-replies",
        "://flow-replies",
    ],
)
def test_any_other_address_is_not_allowed(deliver: Deliver, reply_to: str) -> None:
    assert reason_of(resolve(deliver(reply_to=reply_to, reply_to_session_id="s"))) is Reason.RETURN_ADDRESS_NOT_ALLOWED


def test_a_session_alone_means_the_default_reply_queue(deliver: Deliver) -> None:
    resolved = resolve(deliver(reply_to_session_id="s", session_id="its own"))
    assert resolved == ReturnAddress(queue="flow-replies", session_id="s")


def test_with_a_reply_queue_the_requests_own_session_is_the_second_choice(deliver: Deliver) -> None:
    own = resolve(deliver(reply_to="flow-replies", session_id="its own"))
    assert own == ReturnAddress(queue="flow-replies", session_id="its own")
    asked = resolve(deliver(reply_to="flow-replies", session_id="its own", reply_to_session_id="asked"))
    assert asked == ReturnAddress(queue="flow-replies", session_id="asked")


def test_a_reply_queue_without_any_session_is_invalid(deliver: Deliver) -> None:
    assert reason_of(resolve(deliver(reply_to="flow-replies"))) is Reason.RETURN_ADDRESS_INVALID


def test_a_session_has_at_most_128_characters(deliver: Deliver) -> None:
    longest = resolve(deliver(reply_to_session_id="s" * 128))
    assert longest == ReturnAddress(queue="flow-replies", session_id="s" * 128)
    assert reason_of(resolve(deliver(reply_to_session_id="s" * 129))) is Reason.RETURN_ADDRESS_INVALID
    own = deliver(reply_to="flow-replies", session_id="s" * 129)
    assert reason_of(resolve(own)) is Reason.RETURN_ADDRESS_INVALID


@pytest.mark.parametrize("given_", [{"reply_to": "flow-replies"}, {"reply_to_session_id": "s"}])
def test_a_worker_without_reply_queues_allows_no_return_address(deliver: Deliver, given_: dict[str, str]) -> None:
    assert reason_of(resolve(deliver(**given_), queues=())) is Reason.RETURN_ADDRESS_NOT_ALLOWED


def test_the_complaint_names_the_allowed_queues_and_hides_a_query(deliver: Deliver) -> None:
    resolved = resolve(deliver(reply_to="https://host/path?sig=secret"))
    assert isinstance(resolved, Rejected)
    assert "flow-replies, Other-Replies" in resolved.detail
    assert "https://host/path" in resolved.detail
    assert "secret" not in resolved.detail


texts = st.none() | st.text(min_size=1) | st.sampled_from([*QUEUES, f"sb://{HOST}/flow-replies", f"amqp://{HOST}/x"])
urls = st.builds("{}://{}/{}".format, st.sampled_from(["sb", "amqp", "http", ""]), st.text(), st.text())


@settings(deadline=None)
@given(reply_to=texts | urls, session=texts, own_session=texts, queues=st.sampled_from([(), QUEUES]))
def test_no_answer_ever_leaves_the_allow_list(
    reply_to: str | None, session: str | None, own_session: str | None, queues: tuple[str, ...]
) -> None:
    delivery = delivery_of(reply_to=reply_to, reply_to_session_id=session, session_id=own_session)
    match resolve(delivery, queues):
        case ReturnAddress(queue=queue, session_id=session_id):
            assert queue in queues
            assert session_id == (session or own_session)
            assert 1 <= len(session_id) <= 128
        case OneWay():
            assert reply_to is None
            assert session is None
        case Rejected(reason=reason):
            assert reason in {Reason.RETURN_ADDRESS_NOT_ALLOWED, Reason.RETURN_ADDRESS_INVALID}
