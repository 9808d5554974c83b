"""Messages sent by `POST /{queue or topic}/messages`, on the port that AMQP comes on."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import aiohttp
import pytest
from azure.servicebus.aio import ServiceBusClient
from emulator.server.over_websocket import in_websocket
from emulator.server.raw import RawClient, body_of, connected
from emulator.server.raw import message as amqp_message
from emulator.server.test_admission import KEY, QUEUES, sas
from flow.certificates import ThrowAwayAuthority

from worker.emulator.amqp.message import read_data
from worker.emulator.amqp.performatives import Accepted
from worker.emulator.broker import MessageCounts, QueueProperties, Topology
from worker.emulator.server import EmbeddedBroker, SasKey, http_connections, rest
from worker.emulator.server.history import Enqueued

HEAD = b"POST /plain/messages HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def url_of(broker: EmbeddedBroker, path: str = "plain/messages") -> str:
    return f"http://127.0.0.1:{broker.port}/{path}"


def broker_properties(**properties: object) -> dict[str, str]:
    return {"BrokerProperties": json.dumps(properties)}


async def said(broker: EmbeddedBroker, request: bytes) -> str:
    """All that is answered, until the broker closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
    writer.write(request)
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    return answer.decode()


class TestTaken:
    async def test_the_sdk_receives_what_was_posted(self, broker: EmbeddedBroker, http: aiohttp.ClientSession) -> None:
        given = broker_properties(
            MessageId="m",
            CorrelationId="c",
            SessionId="A",
            PartitionKey="A",
            Label="order",
            ReplyTo="replies",
            ReplyToSessionId="R",
            To="there",
            TimeToLive=90,
            State="Active",
        )
        own = {"Region": '"Łódź"', "Count": "3", "Rate": "2.5", "Is-Urgent": "true", "Customer": "12345,ABC"}
        url = url_of(broker, "by-session/messages?timeout=60&api-version=2013-08")
        headers = {**given, **own, "Content-Type": "application/json; charset=utf-8"}
        async with http.post(url, data=b'\x00{"a":1}\xff', headers=headers) as answer:
            assert (answer.status, await answer.read()) == (201, b"")
        async with (
            ServiceBusClient.from_connection_string(broker.connection_string) as sdk,
            sdk.get_queue_receiver("by-session", session_id="A", socket_timeout=0.02) as receiver,
        ):
            (received,) = await receiver.receive_messages(max_message_count=1, max_wait_time=5)
        assert b"".join(received.body) == b'\x00{"a":1}\xff'
        assert received.content_type == "application/json; charset=utf-8"
        assert (received.message_id, received.correlation_id, received.session_id) == ("m", "c", "A")
        assert (received.reply_to, received.reply_to_session_id) == ("replies", "R")
        assert (received.subject, received.to, received.partition_key) == ("order", "there", "A")
        assert received.time_to_live == timedelta(seconds=90)
        assert received.application_properties == {
            b"Region": b"\xc5\x81\xc3\xb3d\xc5\xba",
            b"Count": 3,
            b"Rate": 2.5,
            b"Is-Urgent": True,
            b"Customer": b"12345,ABC",
        }

    async def test_what_is_not_given_is_not_there(self, broker: EmbeddedBroker, http: aiohttp.ClientSession) -> None:
        headers = {"X-MS-RetryPolicy": "NoRetry", "Accept-Language": "en", "Cache-Control": "no-cache"}
        headers |= broker_properties(MessageId="", SessionId=None)
        async with http.post(url_of(broker), headers=headers, skip_auto_headers=["Content-Type"]) as answer:
            assert answer.status == 201
        (taken,) = broker.facts.messages("plain")
        sent = taken.message
        assert read_data(sent.payload) == [b""]
        assert sent.message_id
        assert (sent.content_type, sent.session_id, sent.ttl_s, sent.partition_key) == (None, None, None, None)
        assert not sent.application_properties

    async def test_a_body_comes_as_it_is_though_its_header_says_it_is_compressed(
        self, broker: EmbeddedBroker, http: aiohttp.ClientSession
    ) -> None:
        async with http.post(url_of(broker), data=b"not gzip", headers={"Content-Encoding": "gzip"}) as answer:
            assert answer.status == 201
        assert read_data(broker.facts.messages("plain")[0].message.payload) == [b"not gzip"]

    async def test_it_comes_inside_tls(self, tmp_path: Path) -> None:
        authority = ThrowAwayAuthority(tmp_path)
        trust = ssl.create_default_context(cafile=authority.pem)
        async with (
            EmbeddedBroker(QUEUES, tls=authority.server_context("127.0.0.1")) as broker,
            aiohttp.ClientSession() as http,
            http.post(f"https://127.0.0.1:{broker.port}/plain/messages", ssl=trust) as answer,
        ):
            assert answer.status == 201
            assert broker.facts.counts("plain").ready == 1

    @pytest.mark.parametrize("text", ["null", "[1]", '{"a":1}', "NaN", "1e999", str(2**64), '"open'])
    async def test_what_is_no_value_of_an_application_property_comes_as_its_text(
        self, broker: EmbeddedBroker, http: aiohttp.ClientSession, text: str
    ) -> None:
        await http.post(url_of(broker), headers={"Own": text})
        (taken,) = broker.facts.messages("plain")
        assert taken.message.application_properties == {"Own": text}

    async def test_a_topic_hands_it_on(self, broker: EmbeddedBroker, http: aiohttp.ClientSession) -> None:
        async with http.post(url_of(broker, "News/Messages"), data=b"x") as answer:
            assert answer.status == 201
        assert broker.facts.counts("news/Subscriptions/all").ready == 1

    @pytest.mark.parametrize("spelled", ["http", "iso"])
    async def test_it_waits_until_it_is_scheduled_for(
        self, broker: EmbeddedBroker, http: aiohttp.ClientSession, spelled: str
    ) -> None:
        at = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
        text = format_datetime(at, usegmt=True) if spelled == "http" else at.replace(tzinfo=None).isoformat()
        await http.post(url_of(broker), headers=broker_properties(ScheduledEnqueueTimeUtc=text))
        assert broker.facts.counts("plain") == MessageCounts(scheduled=1)
        (record,) = broker.facts.history
        assert isinstance(record, Enqueued)
        assert record.scheduled_for == at.timestamp()

    async def test_many_come_on_one_connection_in_chunks_too(self, broker: EmbeddedBroker) -> None:
        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(3):
                yield b"z" * 50_000

        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as http:
            for _ in range(3):
                async with http.post(url_of(broker), data=chunks()) as answer:
                    assert answer.status == 201
                assert broker.facts.connections == 1
        assert broker.facts.counts("plain").ready == 3

    async def test_a_client_that_asks_first_whether_to_go_on_hears_so(self, broker: EmbeddedBroker) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
        writer.write(HEAD + b"Connection: close\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        async with asyncio.timeout(5):
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"hi")
            assert (await reader.read()).startswith(b"HTTP/1.1 201 Created\r\n")
        writer.close()
        assert read_data(broker.facts.messages("plain")[0].message.payload) == [b"hi"]

    async def test_amqp_and_web_sockets_come_on_the_same_port(
        self, client: RawClient, broker: EmbeddedBroker, http: aiohttp.ClientSession
    ) -> None:
        await http.post(url_of(broker), data=b"by POST", headers=broker_properties(MessageId="p"))
        assert await client.send(await client.sender("plain"), amqp_message(b"by AMQP")) == Accepted()
        async with in_websocket(broker.port) as (other, _):
            await other.greet()
            receiver = await other.receiver("plain", credit=2)
            assert [body_of(await other.receive(receiver)) for _ in range(2)] == [b"by POST", b"by AMQP"]

    async def test_a_duplicate_is_taken_and_dropped(self, http: aiohttp.ClientSession) -> None:
        queue = QueueProperties(name="plain", duplicate_window_s=60.0)
        async with EmbeddedBroker(Topology(queues=(queue,))) as broker:
            for _ in range(2):
                async with http.post(url_of(broker), headers=broker_properties(MessageId="m")) as answer:
                    assert answer.status == 201
            assert broker.facts.counts("plain").ready == 1


class TestRefused:
    @pytest.mark.parametrize(
        ("given", "complaint"),
        [
            ("{'Label': 'x'}", "BrokerProperties is no JSON"),
            ("[" * 5000, "BrokerProperties is no JSON"),
            ("[]", "BrokerProperties is a JSON object, not list"),
            ('{"MessageId": 5}', "MessageId is a string, not int"),
            ('{"SessionId": {}}', "SessionId is a string, not dict"),
            ('{"TimeToLive": "90"}', "TimeToLive is a number of seconds above 0, not '90'"),
            ('{"TimeToLive": true}', "not True"),
            ('{"TimeToLive": 0}', "not 0"),
            ('{"TimeToLive": NaN}', "not nan"),
            ('{"ScheduledEnqueueTimeUtc": "soon"}', "ScheduledEnqueueTimeUtc is a time as in"),
            (
                '{"ScheduledEnqueueTimeUtc": "1 Nov 31 +99999999999999999999"}',
                "ScheduledEnqueueTimeUtc is a time as in",
            ),
            ('{"MessageId": "\\ud800"}', "headers are UTF-8"),
            ('{"SessionId": "A", "PartitionKey": "B"}', "differs from session id"),
        ],
    )
    async def test_broker_properties_that_are_none(
        self, broker: EmbeddedBroker, http: aiohttp.ClientSession, given: str, complaint: str
    ) -> None:
        async with http.post(url_of(broker), headers={"BrokerProperties": given}) as answer:
            assert answer.status == 400
            assert complaint in await answer.text()
        assert broker.facts.counts("plain") == MessageCounts()

    @pytest.mark.parametrize(
        ("path", "status", "complaint"),
        [
            ("by-session/messages", 400, "without a session id"),
            ("none/messages", 410, "no entity is at 'none'"),
            ("a%3Cb/messages", 410, "no entity is at 'a&lt;b'"),
            ("news/Subscriptions/all/messages", 400, "nothing can be sent to it"),
            ("plain/$DeadLetterQueue/messages", 400, "nothing can be sent to it"),
            ("plain", 404, "POST to /QUEUE-OR-TOPIC/messages"),
            ("plain/messages/head", 404, "POST to /QUEUE-OR-TOPIC/messages"),
            ("messages", 404, "POST to /QUEUE-OR-TOPIC/messages"),
        ],
    )
    async def test_where_no_message_can_be_sent(
        self, broker: EmbeddedBroker, http: aiohttp.ClientSession, path: str, status: int, complaint: str
    ) -> None:
        async with http.post(url_of(broker, path), data=b"x") as answer:
            assert answer.status == status
            assert complaint in await answer.text()

    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
    async def test_other_methods(self, broker: EmbeddedBroker, http: aiohttp.ClientSession, method: str) -> None:
        async with http.request(method, url_of(broker)) as answer:
            assert (answer.status, answer.headers["Allow"]) == (405, "POST")

    async def test_batches(self, broker: EmbeddedBroker, http: aiohttp.ClientSession) -> None:
        batch = {"Content-Type": "application/vnd.microsoft.servicebus.json"}
        async with http.post(url_of(broker), data=b"[]", headers=batch) as answer:
            assert answer.status == 501

    @pytest.mark.parametrize("is_chunked", [True, False])
    @pytest.mark.parametrize("size_bytes", [1024, 1025, 100_000])
    async def test_messages_larger_than_the_queue_takes(
        self, broker: EmbeddedBroker, http: aiohttp.ClientSession, size_bytes: int, is_chunked: bool
    ) -> None:
        """With 1024 bytes of body it is the message around it that is too large."""

        async def chunk() -> AsyncIterator[bytes]:
            yield b"z" * size_bytes

        data = chunk() if is_chunked else b"z" * size_bytes
        async with http.post(url_of(broker, "small/messages"), data=data) as answer:
            assert answer.status == 403
            assert "1024 bytes" in await answer.text()

    async def test_more_than_the_quota(self, http: aiohttp.ClientSession) -> None:
        queue = QueueProperties(name="plain", max_size_bytes=100)
        async with (
            EmbeddedBroker(Topology(queues=(queue,))) as broker,
            http.post(url_of(broker), data=b"z" * 200) as answer,
        ):
            assert answer.status == 403
            assert "may hold 100" in await answer.text()

    async def test_who_asks_first_is_refused_before_the_body(self, broker: EmbeddedBroker) -> None:
        head = HEAD.replace(b"plain", b"none") + b"Expect: 100-continue\r\nContent-Length: 0\r\n\r\n"
        assert (await said(broker, head)).startswith("HTTP/1.1 410 ")

    async def test_a_head_that_does_not_come(self, broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(http_connections, "HTTP_IDLE_S", 0.01)
        assert await said(broker, HEAD) == ""

    async def test_a_body_that_does_not_come(self, broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rest, "BODY_S", 0.01)
        reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
        writer.write(HEAD + b"Content-Length: 2\r\n\r\nh")
        async with asyncio.timeout(5):
            assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
        writer.close()
        await broker.until(lambda facts: facts.connections == 0)
        assert broker.facts.counts("plain") == MessageCounts()


class TestAdmission:
    @pytest.mark.parametrize(
        "authorization",
        [
            sas("http://host/plain"),
            sas("https://host:443/Plain/"),
            sas("sb://host/"),
            sas("https://host/plain/messages"),
        ],
    )
    async def test_a_signature_for_the_entity_or_what_is_above_it(
        self, http: aiohttp.ClientSession, authorization: str
    ) -> None:
        async with EmbeddedBroker(QUEUES, auth=KEY) as broker:
            async with http.post(url_of(broker), headers={"Authorization": authorization}) as answer:
                assert answer.status == 201
            (record,) = broker.facts.history
            assert isinstance(record, Enqueued)
            assert record.by == "root"

    @pytest.mark.parametrize(
        ("authorization", "complaint"),
        [
            (None, "no token came"),
            ("Basic cm9vdDp4", "no token came"),
            ("Bearer ", "no token came"),
            ("SharedAccessSignature", "no token came"),
            ("SharedAccessSignature sr=a", "lacks se, sig, skn"),
            (sas("http://host/other"), "for another resource"),
            (sas("http://host/plain", expiry=1), "has expired"),
            (sas("http://host/plain", key=SasKey(name="root", key="else")), "does not match"),
            ("Bearer a.b.c", "no bearer tokens"),
        ],
    )
    async def test_other_tokens_are_refused_with_a_reason(
        self, http: aiohttp.ClientSession, authorization: str | None, complaint: str
    ) -> None:
        headers = {} if authorization is None else {"Authorization": authorization}
        async with EmbeddedBroker(QUEUES, auth=KEY) as broker:
            async with http.post(url_of(broker), headers=headers) as answer:
                text = await answer.text()
                assert answer.status == 401
            assert complaint in text
            assert "sig=" not in text
            assert broker.facts.counts("plain") == MessageCounts()

    async def test_who_brings_no_token_is_not_told_which_queues_there_are(self, http: aiohttp.ClientSession) -> None:
        async with (
            EmbeddedBroker(QUEUES, auth=KEY) as broker,
            http.post(url_of(broker, "none/messages")) as answer,
        ):
            assert answer.status == 401
            assert "other" not in await answer.text()

    async def test_bearer_tokens_are_taken_where_the_claims_node_takes_them(self, http: aiohttp.ClientSession) -> None:
        async with EmbeddedBroker(QUEUES, auth=SasKey(name="root", key="k", accepts_jwt=True)) as broker:
            async with http.post(url_of(broker), headers={"Authorization": "bearer a.b.c"}) as answer:
                assert answer.status == 201
            async with http.post(url_of(broker)) as answer:
                assert answer.status == 401


class TestFaults:
    @pytest.mark.parametrize(
        ("condition", "status"), [("com.microsoft:server-busy", 503), ("amqp:internal-error", 500)]
    )
    async def test_a_send_is_refused(
        self, broker: EmbeddedBroker, http: aiohttp.ClientSession, condition: str, status: int
    ) -> None:
        broker.faults.refuse_sends("plain", condition=condition, times=1)
        async with http.post(url_of(broker)) as answer:
            assert answer.status == status
        async with http.post(url_of(broker)) as answer:
            assert answer.status == 201

    async def test_the_answer_to_a_send_is_lost_with_the_connection(
        self, broker: EmbeddedBroker, http: aiohttp.ClientSession
    ) -> None:
        broker.faults.cut_after_sends("plain", times=1)
        with pytest.raises(aiohttp.ClientError):
            await http.post(url_of(broker), allow_redirects=False)
        assert broker.facts.counts("plain").ready == 1


class TestNoise:
    @pytest.mark.parametrize(
        "rest_of_it",
        [
            b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhi",
            b"Content-Length: two\r\n\r\n",
            b"Content-Length: 0\r\nOwn: \xff\r\n\r\n",
            b"BrokerProperties: " + b"x" * 10_000 + b"\r\n\r\n",
            b"".join(b"Own-%d: 1\r\n" % number for number in range(200)) + b"\r\n",
            b"\0\r\n\r\n",
        ],
    )
    async def test_what_is_no_request_is_told_so_and_closed(
        self, client: RawClient, broker: EmbeddedBroker, rest_of_it: bytes
    ) -> None:
        assert (await said(broker, HEAD + rest_of_it)).split(" ", 2)[1] == "400"
        await broker.until(lambda facts: facts.connections == 1)
        assert await client.send(await client.sender("plain"), amqp_message()) == Accepted()
        assert broker.facts.counts("plain").ready == 1

    @pytest.mark.parametrize("is_cut_by_client", [True, False])
    async def test_half_a_body_sends_nothing_and_keeps_nothing_up(
        self, broker: EmbeddedBroker, is_cut_by_client: bool
    ) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
        writer.write(HEAD + b"Expect: 100-continue\r\nContent-Length: 9\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"half")
        if is_cut_by_client:
            writer.transport.abort()
        else:
            broker.faults.cut_connections(resets=False)
        await broker.until(lambda facts: facts.connections == 0)
        writer.close()
        async with connected(broker.port):
            assert broker.facts.counts("plain") == MessageCounts()
