"""What reaches the trigger: its own query to the byte, the request's parameters behind it, a body only where one is."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.flows import Caller, call_of, spec_of
from yarl import URL

from worker.core.outcome import Answered, FlowOutcome, Running
from worker.core.query import Query
from worker.emulator.standins import Accept, Answer, Echo, FlowStandIn, PlatformError
from worker.flow.locations import parse_url, with_query

SIGNATURE = "a%2Bb%2f-_~%7E"  # as nobody would quote it anew


async def called(
    caller: Caller, flow: FlowStandIn, *, query: Query, method: str = "POST", sig: str | None = None
) -> str:
    """The path and query that arrived."""
    spec = spec_of(flow.url_of("x", sig=sig), method=method)
    call = replace(call_of(spec), query=query)
    outcome = await (await caller.client(spec)).start(call).run()
    assert isinstance(outcome, Answered)
    return flow.calls[-1].path_and_query


async def test_parameters_follow_the_signature_which_stays_as_it_is(caller: Caller, flow: FlowStandIn) -> None:
    flow.script("x", Echo())
    arrived = await called(caller, flow, query=(("account", "Müller & Co"), ("n", "1+1=2")), sig=SIGNATURE)
    assert arrived.endswith(f"&sig={SIGNATURE}&account=M%C3%BCller%20%26%20Co&n=1%2B1%3D2")
    assert "authorization" not in flow.calls[0].headers


async def test_they_follow_a_query_without_signature_and_the_token_goes_along(
    caller: Caller, flow: FlowStandIn
) -> None:
    flow.script("x", Echo())
    assert (await called(caller, flow, query=(("a", "b"),))).endswith("/invoke?api-version=1&a=b")
    assert flow.calls[0].headers["authorization"].startswith("Bearer ")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_a_method_without_a_body_sends_neither_body_nor_its_type(
    caller: Caller, flow: FlowStandIn, method: str
) -> None:
    flow.script("x", Answer())
    spec = spec_of(flow.url_of("x"), method=method)
    call = replace(call_of(spec), body=None, content_type=None, query=(("a", "b"),))
    assert isinstance(await (await caller.client(spec)).start(call).run(), Answered)
    [received] = flow.calls
    assert (received.method, received.body) == (method, b"")
    assert received.path_and_query.endswith("&a=b")
    assert not {"content-type", "transfer-encoding"} & received.headers.keys()
    assert received.headers["x-ms-client-tracking-id"] == "r-1"


async def test_each_attempt_asks_the_same(caller: Caller, flow: FlowStandIn) -> None:
    flow.script("x", PlatformError.throttled("0"), Echo())
    await called(caller, flow, query=(("a", "b"),), sig=SIGNATURE)
    first, second = flow.calls
    assert first.path_and_query == second.path_and_query


async def test_the_answer_of_a_run_that_goes_on_is_fetched_without_them(caller: Caller, flow: FlowStandIn) -> None:
    flow.script("x", Accept(polls=0, retry_after="0"))
    spec = spec_of(flow.url_of("x"))
    client = await caller.client(spec)
    running = await client.start(replace(call_of(spec), query=(("a", "b"),))).run()
    assert isinstance(running, Running)
    until = call_of(spec).deadline
    assert until is not None
    outcome: FlowOutcome | Running = await client.fetch(spec, running, until=until, stays_until=until).run()
    assert isinstance(outcome, Answered)
    assert "a=b" not in flow.polls[0].path_and_query


@pytest.mark.parametrize(
    ("url", "whole"),
    [
        ("https://h.example/p", "https://h.example/p?a=%2F"),
        ("https://h.example", "https://h.example/?a=%2F"),
        ("https://h.example/p?", "https://h.example/p?a=%2F"),
        ("https://h.example/a%2fb?x=%zz+y", "https://h.example/a%2fb?x=%zz+y&a=%2F"),
    ],
)
def test_a_url_keeps_its_own_bytes(url: str, whole: str) -> None:
    assert str(with_query(parse_url(url), (("a", "/"),))) == whole


@given(st.lists(st.tuples(st.text(min_size=1), st.text(min_size=1)), max_size=4).map(tuple))
def test_whatever_the_texts_are_they_arrive_and_nothing_else_does(query: Query) -> None:
    url = with_query(URL("https://h.example/p?sig=%2b", encoded=True), query)
    assert url.raw_query_string.startswith("sig=%2b")
    assert str(url).isascii()
    assert [(name, text) for name, text in url.query.items() if name != "sig"] == [
        (name, text) for name, text in query if name != "sig"
    ]
