"""`/metrics`, as a scraper reads it from a worker that has seen something."""

from pathlib import Path

import aiohttp
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parsed_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parsed
from support.house import House

from worker.core.outcome import Outcome
from worker.emulator.standins import Answer, PlatformError

GOLDEN = Path(__file__).parents[1] / "golden" / "metrics.txt"
OPENMETRICS = "application/openmetrics-text"
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


async def scraped(port: int, accept: str = "text/plain") -> str:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/metrics", headers={"Accept": f"{accept}; version=1.0.0"}) as response,
    ):
        assert response.status == 200
        assert response.content_type == accept
        return await response.text()


def named(text: str) -> str:
    """Each family with its words, type and labels."""
    return "".join(
        f"# HELP {family.name} {family.documentation}\n# TYPE {family.name} {family.type}\n"
        f"{family.name}{{{','.join(sorted({label for each in family.samples for label in each.labels} - {'le'}))}}}\n"
        for family in sorted(parsed(text), key=lambda family: family.name)
    )


def value(text: str, name: str, **labels: str) -> float:
    (found,) = [
        sample.value
        for family in parsed(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    return found


async def test_names_labels_and_words_are_those_that_operators_know(house: House) -> None:
    async with house.worker() as worker:
        await house.reply(await house.ask())
        await house.dead_letter(await house.send(application_properties={"timeout-s": "soon"}))
        await worker.ended.until(2)
        text = await scraped(worker.http_port)
    assert named(text) == GOLDEN.read_text()


async def test_what_became_of_requests_is_counted_by_flow(house: House) -> None:
    house.flow.script("checks", PlatformError(status=503, code="ServiceBusy"), Answer(), Answer(status=422))
    checks = {"name": "checks", "retry": {"attempts": 2, "first_s": 0.01}}
    async with house.worker(checks, {"name": "other"}) as worker:
        await house.reply(await house.ask(application_properties={"flow": "checks"}))
        await house.dead_letter(await house.send(application_properties={"flow": "checks"}))
        await house.dead_letter(await house.send(application_properties={"flow": "nobody's"}))
        await worker.ended.until(3)
        text = await scraped(worker.http_port)
    assert value(text, "flowbridge_requests_total", flow="checks", outcome="answered") == 1
    assert value(text, "flowbridge_requests_total", flow="checks", outcome="refused") == 1
    assert value(text, "flowbridge_requests_total", flow="(none)", outcome="rejected") == 1
    assert value(text, "flowbridge_requests_total", flow="other", outcome="answered") == 0
    assert value(text, "flowbridge_attempts_total", flow="checks", result="5xx") == 1
    assert value(text, "flowbridge_attempts_total", flow="checks", result="2xx") == 1
    assert value(text, "flowbridge_attempts_total", flow="checks", result="4xx") == 1
    assert value(text, "flowbridge_dead_letters_total", flow="checks", reason="FlowRefused") == 1
    assert value(text, "flowbridge_dead_letters_total", flow="(none)", reason="Unroutable") == 1
    assert value(text, "flowbridge_settlements_total", settlement="complete", result="done") == 1
    assert value(text, "flowbridge_settlements_total", settlement="dead-letter", result="done") == 2
    assert value(text, "flowbridge_critical_time_seconds_count", flow="checks") == 1
    assert value(text, "flowbridge_replies_total", queue="flow-replies") == 1


async def test_a_copy_is_counted_as_moved_and_its_last_try_as_the_end(house: House) -> None:
    house.flow.script("flow", PlatformError(status=503, code="ServiceBusy"), Answer())
    async with house.worker({"retry": {"attempts": 1}}, worker={"redelivery_s": [0.05]}) as worker:
        await house.send()
        await worker.ended.until(1, where=lambda each: each.outcome is Outcome.ANSWERED)
        text = await scraped(worker.http_port)
    assert value(text, "flowbridge_redeliveries_total", flow="flow") == 1
    assert value(text, "flowbridge_requests_total", flow="flow", outcome="answered") == 1
    assert value(text, "flowbridge_requests_total", flow="flow", outcome="unavailable") == 0


async def test_an_exemplar_leads_from_a_slow_reply_to_its_trace(house: House) -> None:
    traceparent = f"00-{TRACE_ID}-00f067aa0ba902b7-01"
    async with house.worker() as worker:
        asked = await house.ask(application_properties={"traceparent": traceparent})
        await worker.ended_as(asked)
        text = await scraped(worker.http_port, OPENMETRICS)
    exemplars = {
        family.name: sample.exemplar.labels
        for family in parsed_openmetrics(text)  # type: ignore[no-untyped-call]
        for sample in family.samples
        if sample.exemplar is not None
    }
    assert exemplars == {
        "flowbridge_critical_time_seconds": {"trace_id": TRACE_ID},
        "flowbridge_reply_slack_seconds": {"trace_id": TRACE_ID},
    }


async def test_an_open_circuit_shows_in_its_state_and_asks_for_no_more_workers(house: House) -> None:
    house.flow.script("flow", PlatformError.gateway_timeout())
    flow = {"retry": {"attempts": 1}, "breaker": {"min_calls": 1, "open_s": 60}}
    async with house.worker(flow) as worker:
        first = await house.ask(application_properties={"timeout-s": 5})
        await worker.ended_as(first)
        late = await house.ask(application_properties={"timeout-s": 5})
        await worker.ended_as(late)
        text = await scraped(worker.http_port)
    assert value(text, "flowbridge_circuit_state", flow="flow", state="open") == 1
    assert value(text, "flowbridge_circuit_state", flow="flow", state="closed") == 0
    assert value(text, "flowbridge_circuit_openings_total", flow="flow") == 1
    assert value(text, "flowbridge_wait_used_ratio") == 0
