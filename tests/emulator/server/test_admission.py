"""Who is let in: the check itself, and what connections hear of it."""

import hmac
from base64 import b64encode
from hashlib import sha256
from urllib.parse import quote, quote_plus, urlencode

import pytest
from emulator.server.raw import RawClient, Requests, connected, message, unconnected

from worker.emulator.amqp.performatives import Accepted, Map
from worker.emulator.broker import QueueProperties, Topology
from worker.emulator.server import EmbeddedBroker, SasKey
from worker.emulator.server.auth import AnyToken, TokenRefusedError, check_token

KEY = SasKey(name="root", key="c2VjcmV0")
QUEUES = Topology(queues=(QueueProperties(name="plain"), QueueProperties(name="other")))
NOW = 1_000_000.0


def sas(resource: str, *, expiry: int = 10_000_000_000, key: SasKey = KEY) -> str:
    signed = f"{quote_plus(resource)}\n{expiry}".encode()
    signature = b64encode(hmac.new(key.key.encode(), signed, sha256).digest())
    fields = {"sr": resource, "sig": signature.decode(), "se": str(expiry), "skn": key.name}
    return "SharedAccessSignature " + urlencode(fields, quote_via=quote)


def test_a_signature_holds_until_it_says() -> None:
    token = sas("sb://host/plain", expiry=2_000_000)
    assert check_token(KEY, token=token, audience="sb://host/plain", now=NOW) == 2_000_000


@pytest.mark.parametrize(
    ("token", "complaint"),
    [
        (sas("sb://host/plain", expiry=1_000_000), "expired"),
        (sas("sb://host/plain", key=SasKey(name="root", key="other")), "does not match"),
        (sas("sb://host/plain", key=SasKey(name="else", key=KEY.key)), "does not match"),
        (sas("sb://host/plain").replace("se=1", "se=2"), "does not match"),
        (sas("sb://host/other"), "another resource"),
        (sas("sb://host/plai"), "another resource"),
        ("SharedAccessSignature sr=a&sig=b", "lacks se, skn"),
        ("eyJhbGciOi.eyJ.x", "no bearer tokens"),
    ],
)
def test_a_token_is_refused_with_a_reason_that_does_not_quote_it(token: str, complaint: str) -> None:
    with pytest.raises(TokenRefusedError, match=complaint) as refused:
        check_token(KEY, token=token, audience="sb://host/plain", now=NOW)
    assert token not in str(refused.value)


def test_a_signature_for_the_namespace_is_one_for_each_entity() -> None:
    assert check_token(KEY, token=sas("sb://host/"), audience="amqps://host:5671/plain", now=NOW) > NOW


def test_bearer_tokens_are_taken_where_that_is_set() -> None:
    trusting = SasKey(name="root", key="k", accepts_jwt=True)
    assert check_token(trusting, token="a.b.c", audience="sb://host/plain", now=NOW) > NOW
    assert check_token(AnyToken(), token="", audience="", now=NOW) > NOW


async def test_a_link_needs_a_token_for_its_entity() -> None:
    async with EmbeddedBroker(QUEUES, auth=KEY) as broker, connected(broker.port) as client:
        refused = await client.detached(await client.sender("plain"))
        assert refused.error is not None
        assert refused.error.condition == "amqp:unauthorized-access"
        claims = await Requests(client, "$cbs").open()
        assert await put(claims, sas("sb://x/other"), "sb://x/plain") == 401
        assert await put(claims, sas("sb://x/plain"), "sb://x/plain") == 202
        assert await client.send(await client.sender("plain"), message()) == Accepted()
        assert (await Requests(client, "plain/$management").open()) is not None
        assert (await client.detached(await client.sender("other"))).error is not None


async def test_a_token_for_the_management_node_opens_only_that() -> None:
    async with EmbeddedBroker(QUEUES, auth=KEY) as broker, connected(broker.port) as client:
        claims = await Requests(client, "$cbs").open()
        assert await put(claims, sas("sb://x/plain/$management"), "sb://x/plain/$management") == 202
        management = await Requests(client, "plain/$management").open()
        assert (await management.manage("peek-message"))[0] == 204
        assert (await client.detached(await client.sender("plain"))).error is not None


async def put(claims: Requests, token: str, audience: str) -> object:
    asked: Map = {"operation": "put-token", "type": "servicebus.windows.net:sastoken", "name": audience}
    told, _, _ = await claims.ask(asked, token)
    return told["status-code"]


async def test_the_claims_node_takes_tokens_only(client: RawClient) -> None:
    claims = await Requests(client, "$cbs").open()
    told, _, _ = await claims.ask({"operation": "delete-token"}, "")
    assert told["status-code"] == 501


@pytest.mark.parametrize(("key", "is_let_in"), [(b"c2VjcmV0", True), (b"wrong", False)])
async def test_name_and_key_by_sasl_plain_open_everything(key: bytes, is_let_in: bool) -> None:
    async with EmbeddedBroker(QUEUES, auth=KEY) as broker, unconnected(broker.port) as client:
        assert await client.greet(mechanism="PLAIN", response=b"\0root\0" + key) is is_let_in
        if is_let_in:
            assert await client.send(await client.sender("plain"), message()) == Accepted()


def test_the_key_is_not_shown() -> None:
    assert KEY.key not in repr(KEY)


async def test_the_connection_string_names_the_key_that_opens() -> None:
    async with EmbeddedBroker(QUEUES, auth=KEY) as broker:
        assert broker.connection_string == (
            f"Endpoint=sb://127.0.0.1:{broker.port};SharedAccessKeyName=root;"
            "SharedAccessKey=c2VjcmV0;UseDevelopmentEmulator=true;"
        )
