"""What fuzzing found in the product, and how it behaves since."""

from decimal import Decimal
from pathlib import Path
from typing import Final

import pytest
from azure.servicebus import ServiceBusReceivedMessage
from core.conftest import delivery_of
from emulator.amqp.script import Script
from yarl import URL

from fuzz.messages import APPLICATION, DATA, PROPERTIES, delivered, encoded
from worker.core.dataverse.document import ContextBroken
from worker.core.dataverse.forms import read
from worker.core.decode import decode
from worker.core.outcome import Reason, Rejected
from worker.core.verdict import dead_letter, detail_of
from worker.emulator.amqp.errors import DecodeError
from worker.emulator.amqp.events import SessionEnded
from worker.emulator.amqp.link import IncomingDelivery
from worker.emulator.amqp.message import Header, encode_header, read_sections
from worker.emulator.amqp.performatives import RECEIVER, Attach, Begin, Open, Source, Target
from worker.emulator.broker import (
    Broker,
    QueueProperties,
    RuleProperties,
    SubscriptionProperties,
    TopicProperties,
    Topology,
)
from worker.emulator.broker.errors import InvalidFilterError
from worker.emulator.broker.sql import parse_sql
from worker.emulator.server.addresses import Address, Node, parse_address
from worker.emulator.server.messages import encode_message, read_messages
from worker.emulator.server.request_fields import Fields, RequestError
from worker.flow.locations import locate
from worker.servicebus.convert import strip_unsettleable
from worker.settings import SettingsInvalid, load

BUS: Final = '[servicebus]\nnamespace = "contoso.servicebus.windows.net"\n'
UNREADABLE_PROPERTIES: Final = b"\x00\x53\x74\xc1\x03\x02\xa1\xff"
SECRET: Final = "https://h.example/?sig=c2VjcmV0"


def context(value: str) -> bytes:
    return f'{{"MessageName":"Update","Stage":40,"SharedVariables":[{{"key":"a","value":{value}}}]}}'.encode()


# the worker


@pytest.mark.parametrize("number", ["1e9999999999999999999", "-1.5e-9999999999999999999"])
def test_a_number_beyond_every_decimal_makes_a_context_broken_and_nothing_worse(number: str) -> None:
    with pytest.raises(ContextBroken, match="is beyond every decimal number"):
        read(context(number))
    assert read(context("1e400")).shared_variables == {"a": Decimal("1e400")}


@pytest.mark.parametrize("key", ["\\ud800", "\U0001f600" * 1500])
def test_a_dead_letters_description_fits_the_broker_whatever_key_it_quotes(key: str) -> None:
    body = context("0").replace(b'"a"', f'"{key}"'.encode()).replace(b":0}", b':{"__type":"Money:","Value":"x"}}')
    with pytest.raises(ContextBroken) as broken:
        read(body)
    description = dead_letter(Rejected(reason=Reason.MALFORMED, detail=str(broken.value))).description
    assert "SharedVariables" in description
    assert len(description.encode("utf-16-le")) <= 4096


def test_a_secret_in_the_wrong_property_is_neither_dead_lettered_nor_answered() -> None:
    wrong = decode(delivery_of(properties={"timeout-s": SECRET}))
    assert isinstance(wrong, Rejected)
    assert "c2VjcmV0" not in detail_of(wrong) + dead_letter(wrong).description
    assert "timeout-s: expected a positive number of seconds" in detail_of(wrong)


def test_data_that_is_no_binary_is_no_body() -> None:
    """Of a number, `bytes` would make as many zeros."""
    for data in (2**62, -1, 1.5, [None], {"a": 1}):
        delivery = delivered(encoded((PROPERTIES, ["m"]), (DATA, data)))
        assert delivery is not None
        assert delivery.body is None


def test_application_properties_that_are_no_map_are_none_and_do_not_keep_a_message_from_being_settled() -> None:
    data = encoded((PROPERTIES, ["m"]), (APPLICATION, ["a"]), (DATA, b""))
    delivery = delivered(data)
    assert delivery is not None
    assert delivery.properties == {}
    message = ServiceBusReceivedMessage.from_bytes(data)
    strip_unsettleable(message)
    assert not message.application_properties


@pytest.mark.parametrize("location", ["//[]@", "https://[]@/x"])
def test_a_location_at_which_the_url_library_trips_is_no_url(location: str) -> None:
    assert locate(URL("https://h.example/"), location) is None


# settings


def problems_of(folder: Path, text: str, environ: dict[str, str] | None = None) -> str:
    file = folder / "flowbridge.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsInvalid) as invalid:
        load(file, environ or {})
    return str(invalid.value)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (f"{BUS}lock_s = {'9' * 5000}", "isn't TOML: Exceeds the limit"),
        (f"{BUS}max_delivery_count = 0x{'f' * 5000}", "expected at most 2000, got a number of more than 64 bits"),
        (f"a = {'[' * 3000}", "nested too deeply"),
        ('[servicebus]\nconnection_string_file = "a\\u0000b"', "'a\\x00b' is no file's name"),
        (f'{BUS}[[flows]]\nurl = "https://xn--/"', "expected an absolute https:// URL"),
        (f'{BUS}[[flows]]\nurl = "https://[]@/"', "expected an absolute https:// URL"),
    ],
)
def test_no_document_is_so_odd_that_it_is_not_a_problem_with_words(tmp_path: Path, text: str, what: str) -> None:
    assert what in problems_of(tmp_path, text)


def test_a_variable_whose_number_is_of_thousands_of_digits_is_no_setting(tmp_path: Path) -> None:
    name = f"FLOWBRIDGE_FLOWS__{'9' * 5000}__URL"
    assert "its items are numbered from 0" in problems_of(tmp_path, BUS, {name: "https://h.example/"})


@pytest.mark.parametrize(
    "text",
    [
        f'polling_hosts = ["{SECRET}"]',
        f'[http]\nhost = "{SECRET}"',
        f'[[routes]]\nflow = "{SECRET}"',
        '"sig=c2VjcmV0" = 1',
    ],
)
def test_a_signed_url_in_the_wrong_place_is_not_repeated(tmp_path: Path, text: str) -> None:
    told = problems_of(tmp_path, f'{BUS}[[flows]]\nname = "a"\nurl = "https://h.example/"\n{text}')
    assert "c2VjcmV0" not in told.lower()


# the embedded broker


@pytest.mark.parametrize("text", ["amqps://[h/q", "sb://[h]/q", "sb://h\uff0fq/x"])
def test_an_address_that_is_no_url_is_an_entity_that_nobody_has(text: str) -> None:
    assert parse_address(text) == Address(node=Node.ENTITY, entity=text)


def test_a_filter_with_a_number_that_python_does_not_read_is_refused() -> None:
    with pytest.raises(InvalidFilterError, match="can't be evaluated from '9999"):
        parse_sql(f"a = {'9' * 5000}")


def test_a_peer_that_wants_more_links_than_it_has_handles_loses_its_session() -> None:
    script = Script()
    script.hears_bytes(b"AMQP\x00\x01\x00\x00")
    script.hears(Open("peer"))
    script.engine.open("under-test")
    script.hears(Begin(None, 0, 100, 100, handle_max=0))
    script.session.begin()
    attaches = [Attach(str(handle), handle, RECEIVER, source=Source("q"), target=Target("x")) for handle in (0, 1)]
    _, ended = script.hears(*attaches)
    assert isinstance(ended, SessionEnded)
    assert ended.error is not None
    assert ended.error.condition == "amqp:resource-limit-exceeded"


def test_empty_transfers_of_a_delivery_are_not_kept() -> None:
    delivery = IncomingDelivery(0, b"t", 0)
    for payload in (b"", b"a", b"", b"b"):
        delivery.add(payload, None)
    assert delivery.payload == b"ab"
    assert len(delivery._parts) == 2


@pytest.mark.parametrize("sections", [[PROPERTIES, PROPERTIES], [DATA, PROPERTIES], [APPLICATION, APPLICATION]])
def test_sections_that_come_twice_or_out_of_their_order_are_no_message(sections: list[int]) -> None:
    bodies: dict[int, object] = {PROPERTIES: ["m"], APPLICATION: {}, DATA: b""}
    with pytest.raises(DecodeError, match="came behind"):
        read_sections(encode_header(Header()) + encoded(*((section, bodies[section]) for section in sections)))
    read_sections(encoded((DATA, b"a"), (DATA, b"b")))


def test_a_message_whose_application_properties_cannot_be_read_goes_through_filters_and_to_the_dead_letters() -> None:
    rule = RuleProperties(name="r", filter=parse_sql("colour IS NULL"))
    topology = Topology(
        queues=(QueueProperties(name="q", default_ttl_s=1.0, dead_letters_on_expiry=True),),
        topics=(TopicProperties(name="t", subscriptions=(SubscriptionProperties(name="s", rules=(rule,)),)),),
    )
    broker = Broker(topology, lock_token_salt=1)
    sent = read_messages(encoded((PROPERTIES, ["m"])) + UNREADABLE_PROPERTIES + encoded((DATA, b"x")), 0)
    broker.send("q", sent, 0.0)
    broker.send("t", sent, 0.0)
    broker.advance(10.0)
    (dead,) = broker.messages("q/$DeadLetterQueue")
    properties = delivered(encode_message(dead))
    assert properties is not None
    assert properties.properties["DeadLetterReason"] == "TTLExpiredException"
    assert len(broker.messages("t/Subscriptions/s")) == 1


def test_sessions_are_not_listed_from_before_the_first() -> None:
    with pytest.raises(RequestError, match="skip is at least 0, not -1"):
        Fields({"skip": -1}).count("skip")
