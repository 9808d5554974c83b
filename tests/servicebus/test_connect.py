import pytest

from worker.core.failures import Misconfigured
from worker.flow.token import Credential, IdentitySpec
from worker.servicebus.connect import Bus, BusOptions

LOCAL = "Endpoint=sb://127.0.0.1:5672;SharedAccessKeyName=k;SharedAccessKey=s3cret;UseDevelopmentEmulator=true;"


async def test_a_local_connection_string_keeps_its_port() -> None:
    async with Bus(BusOptions(connection_string=LOCAL)) as bus:
        assert bus.namespace == "127.0.0.1:5672"


async def test_a_namespace_may_name_a_port_which_is_no_part_of_it() -> None:
    async with Bus(BusOptions(namespace="localhost:5671", credential=Credential(IdentitySpec(kind="static")))) as bus:
        assert bus.namespace == "localhost"


async def test_a_namespace_needs_a_credential() -> None:
    with pytest.raises(Misconfigured, match="credential"):
        Bus(BusOptions(namespace="contoso.servicebus.windows.net"))


@pytest.mark.parametrize(
    "text", ["", "nonsense", "Endpoint=;SharedAccessKey=s3cret", "Endpoint=sb://a;SharedAccessKey=s3cret"]
)
async def test_a_connection_string_that_cannot_be_read_is_told_without_its_secret(text: str) -> None:
    with pytest.raises(Misconfigured) as raised:
        Bus(BusOptions(connection_string=text))
    assert "s3cret" not in str(raised.value)
    assert "Endpoint=sb://" in str(raised.value) or "connection string" in str(raised.value)


async def test_a_connection_string_of_one_entity_is_refused() -> None:
    with pytest.raises(Misconfigured, match="EntityPath"):
        Bus(BusOptions(connection_string=LOCAL + "EntityPath=flow-requests"))


def test_options_do_not_show_their_secret() -> None:
    assert "s3cret" not in repr(BusOptions(connection_string=LOCAL))
