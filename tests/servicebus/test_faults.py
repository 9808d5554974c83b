"""What Azure says only in words, which the embedded broker does not say."""

import pytest
from azure.servicebus.exceptions import ServiceBusAuthenticationError, ServiceBusAuthorizationError, ServiceBusError

from worker.core.failures import BusUnreachable, Misconfigured
from worker.servicebus.failures import explain
from worker.servicebus.faults import Fault, fault_of

REFUSED = "CBS Token authentication failed.\nStatus code: "
MISSING = f"{REFUSED}404\nDescription: The messaging entity 'sb://contoso.servicebus.windows.net/q' could not be found."
NO_KEYS = (
    f"{REFUSED}401\nDescription: LocalAuthDisabled: Authorization failed because SAS authentication has been disabled"
)


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (ServiceBusAuthenticationError(message=MISSING), Fault.MISSING),
        (ServiceBusError("Handler failed", error=ValueError(MISSING)), Fault.MISSING),
        (ServiceBusAuthenticationError(message=NO_KEYS), Fault.KEYS_DISABLED),
        (ServiceBusAuthenticationError(message=f"{REFUSED}None"), Fault.CREDENTIAL_REFUSED),
        (ServiceBusAuthenticationError(message=f"{REFUSED}401\nIp has been prevented to connect"), Fault.FIREWALL),
        (ServiceBusAuthorizationError(message="Ip has been prevented to connect to the endpoint."), Fault.FIREWALL),
        (ServiceBusAuthorizationError(message="ExpiredToken: The token is expired."), Fault.TOKEN_EXPIRED),
    ],
)
def test_what_azure_says_to_a_token_tells_faults_apart(error: Exception, fault: Fault) -> None:
    assert fault_of(error) is fault


def test_a_queue_that_azure_misses_already_at_the_token_is_a_missing_queue() -> None:
    failure = explain(ServiceBusAuthenticationError(message=MISSING), "Receiving")
    assert isinstance(failure, Misconfigured)
    assert "there is no such queue" in str(failure)


@pytest.mark.parametrize(
    ("words", "told"),
    [(NO_KEYS, "servicebus.namespace instead"), (f"{REFUSED}401\nIp has been prevented to connect", "network rules")],
)
def test_what_may_pass_by_itself_is_no_misconfiguration(words: str, told: str) -> None:
    failure = explain(ServiceBusAuthenticationError(message=words), "Receiving")
    assert isinstance(failure, BusUnreachable)
    assert told in str(failure)
