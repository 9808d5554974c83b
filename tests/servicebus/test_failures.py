import pytest
from azure.servicebus.exceptions import (
    MessagingEntityDisabledError,
    MessagingEntityNotFoundError,
    ServiceBusAuthenticationError,
    ServiceBusAuthorizationError,
    ServiceBusConnectionError,
    ServiceBusError,
    ServiceBusServerBusyError,
)

from worker.core.failures import BusUnreachable, Misconfigured
from worker.servicebus.failures import ReceiverGone, Unreadable, explain


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (MessagingEntityNotFoundError(), "no such queue"),
        (MessagingEntityDisabledError(), "Active"),
        (ServiceBusAuthorizationError(), "Azure Service Bus Data Receiver"),
    ],
)
def test_what_somebody_must_change_comes_with_what_to_do(error: Exception, advice: str) -> None:
    failure = explain(error, "Opening queue 'flow-requests'")
    assert isinstance(failure, Misconfigured)
    assert advice in str(failure)
    assert "flow-requests" in str(failure)


@pytest.mark.parametrize(
    "error",
    [
        ServiceBusConnectionError(),
        ServiceBusServerBusyError(),
        ServiceBusAuthenticationError(),
        ServiceBusError("Handler failed: 'NoneType' object has no attribute '_connection'"),
        TimeoutError(),
        OSError("unreachable"),
        ValueError("The handler has already been shutdown."),
        AttributeError("'NoneType' object has no attribute 'client_ready_async'"),
    ],
)
def test_anything_else_is_passing(error: Exception) -> None:
    assert isinstance(explain(error, "Receiving"), BusUnreachable)


def test_a_token_that_expired_is_passing_although_access_was_refused_for_it() -> None:
    failure = explain(ServiceBusAuthorizationError(message="ExpiredToken: The token is expired."), "Receiving")
    assert isinstance(failure, BusUnreachable)
    assert "A fresh one is asked for" in str(failure)


def test_a_receiver_that_is_gone_is_told_with_its_likely_cause() -> None:
    failure = explain(ReceiverGone(), "Receiving from queue 'flow-requests'")
    assert isinstance(failure, Unreadable)
    assert isinstance(failure, BusUnreachable)
    assert str(failure).startswith("Receiving from queue 'flow-requests' failed: ")


def test_a_failure_of_ours_is_left_as_it_is() -> None:
    failure = Misconfigured("no such queue")
    assert explain(failure, "Receiving") is failure


def test_no_secret_gets_into_a_failure() -> None:
    error = ServiceBusError("refused: sb://x/?sig=abc%2Fdef SharedAccessKey=s3cret= Bearer eyJhbGciOi.J9.x")
    text = str(explain(error, "Receiving"))
    assert not any(secret in text for secret in ("abc%2Fdef", "s3cret", "eyJhbGciOi"))
