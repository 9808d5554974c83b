"""The status page as people see it, in a real browser."""

import asyncio

import aiohttp
import pytest

from worker.admin import events
from worker.admin.surface import Steer

from .chromium import Browser
from .documents import (
    HOSTILE,
    STATES,
    a_flow,
    all_fine,
    an_error,
    history,
    many_flows,
    not_ready,
    one_open,
    several_processes,
)
from .looking import FLOWS, HEADLINE, VERDICT, accessible, shown
from .stage import TOKEN, Stage, staged

pytestmark = pytest.mark.asyncio(loop_scope="module")

VERDICTS = {
    "all-fine": "Working, all 3 flows are fine",
    "nothing-yet": "Working, flow credit-check is fine",
    "one-open": "Working, but flow credit-check is failing",
    "not-ready": "Not receiving",
    "draining": "Draining",
    "many-flows": "Working, but flow balance-get is isolated",
    "hostile": f"Working, but flow {HOSTILE} is failing",
    "several-processes": "Working, but process 2 isn\u2019t running",
    "door": "Working, all 2 flows are fine",
}


@pytest.mark.parametrize("state", STATES)
async def test_each_state_is_told_in_the_headline_fits_every_screen_and_can_be_read(
    browser: Browser, stage: Stage, state: str
) -> None:
    async with shown(browser, stage, STATES[state]()) as tab:
        assert await tab.evaluate(HEADLINE) == VERDICTS[state]
        assert await tab.evaluate("document.title") == f"{VERDICTS[state]} \u2013 flowbridge"
        for width in (1280, 1100, 800, 390, 320):
            await tab.resize(width, 844)
            assert await tab.evaluate("look.overflow()") == 0, f"at {width}"
        for scheme in ("light", "dark"):
            await tab.prefer(prefers_color_scheme=scheme)
            contrast = await tab.evaluate("look.contrast()")
            assert contrast["faint"] == [], scheme
            assert contrast["seen"] > 50


async def test_an_open_circuit_comes_first_and_says_why_and_what_to_ask_explain(browser: Browser, stage: Stage) -> None:
    async with shown(browser, stage, one_open()) as tab:
        assert await tab.evaluate(VERDICT) == (
            "Working, but flow credit-check is failing\n\n"
            "Circuit open. Also: flow invoice-archive is held back, flow tax-office is being tried again.\n\n"
            "tries again in 12 s · 66 requests in the last minute · 3 in flight"
        )
        problems = await tab.evaluate("look.seen('#problem-list')")
        assert problems.startswith("Flow credit-check is failing: circuit open, tries again in 12 s")
        assert "unavailable, HTTP 503. The flow answered HTTP 503 four times" in problems
        assert (await tab.evaluate(FLOWS)) == ["credit-check", "invoice-archive", "tax-office", "address-lookup"]
        rows = await tab.evaluate("look.seen('#flows')")
        assert all(told in rows for told in ("open, 12 s", "half-open", "31 of 100", "64.3 % of 129 answered"))
        explained, quoted = await tab.evaluate("look.texts('.errors p:not(.note) code')")
        assert explained == "flowbridge explain 5f0c7d1e-9a43-4c0e-8f55-0d7c2be8a1f4"
        assert quoted == r"flowbridge explain 'req 77; rm -rf '\''all'\'''"  # safe to paste
        await tab.click("#problem-list a")
        assert await tab.evaluate("document.activeElement.querySelector('th').textContent") == "credit-check"


async def test_what_is_said_ends_with_one_full_stop(browser: Browser, stage: Stage) -> None:
    reason = "not receiving: no connection to the broker. Check that this host reaches its port (443 for web sockets)."
    async with shown(browser, stage, not_ready() | {"reasons": [reason]}) as tab:
        assert "for web sockets).\n" in await tab.evaluate(VERDICT)


async def test_the_plots_show_what_the_history_says(browser: Browser, stage: Stage) -> None:
    document = one_open()
    served = document["history"]
    served["p50_s"][10:20] = served["p99_s"][10:20] = [None] * 10
    async with shown(browser, stage, document) as tab:
        label = await tab.evaluate("look.find('#requests-chart svg').getAttribute('aria-label')")
        for name, counts in served["outcomes"].items():
            bars = await tab.evaluate(f"look.count('#requests-chart rect.{name}')")
            assert bars == sum(1 for count in counts if count)
            assert f"{name} {sum(counts)}" in label
        curve = await tab.evaluate("look.find('#latency-chart .p99 path').getAttribute('d')")
        assert curve.count("M") == 2  # a gap is a gap
        assert await tab.evaluate("look.text('#latest-p99')") == "4.3 s"
        await tab.hover("#requests-chart")
        assert "answered" in await tab.until("look.text('#requests-readout')")
        await tab.click("#steps summary")
        assert await tab.until("look.count('#steps-body tr')") == len(served["p50_s"])
        columns = ["From", "answered", "unavailable", "indeterminate", "p50", "p99"]
        assert await tab.evaluate("look.texts('#steps-head th')") == columns


async def test_what_went_on_as_a_copy_is_not_counted_twice(browser: Browser, stage: Stage) -> None:
    document = all_fine(flows=[a_flow("month-end", outcomes={"answered": 3, "moved": 4})])
    document["history"] = history({"answered": [0] * 59 + [3], "moved": [0] * 58 + [4, 0]})
    async with shown(browser, stage, document) as tab:
        assert "3 requests in the last minute" in await tab.evaluate(VERDICT)
        assert await tab.evaluate("look.text('#flows .mixture')") == "100 % of 3 answered, 4 moved"
        assert await tab.evaluate("look.texts('#outcomes tr')") == [
            "answered3100 %",
            *(f"{name}00 %" for name in ("refused", "unavailable", "indeterminate", "expired", "rejected")),
            "moved4\u2013",
        ]


async def test_what_comes_changes_the_page_and_is_announced_only_when_it_matters(
    browser: Browser, stage: Stage
) -> None:
    """Numbers that tick reach the eye, and a screen reader stays quiet."""
    async with shown(browser, stage, one_open()) as tab:
        await tab.evaluate(
            "window.announced = [];"
            "new MutationObserver(() => window.announced.push(look.seen('#announced')))"
            ".observe(look.find('[aria-live]'), { subtree: true, childList: true, characterData: true });"
            "look.find('.more details').open = true;"
        )
        stage.document = one_open()
        stage.document["flows"][0]["reopens_in_s"] = 11.2
        stage.document["pump"]["in_flight"] = 17
        await tab.until(f"['tries again in 11 s', '17 in flight'].every((each) => {VERDICT}.includes(each))")
        assert await tab.evaluate("window.announced") == []
        assert await tab.evaluate("look.find('.more details').open")
        stage.document = all_fine()
        await tab.until(f"{HEADLINE}.includes('fine')")
        assert await tab.evaluate("window.announced.at(-1)") == "Working, all 3 flows are fine"
        assert await tab.evaluate("look.count('[aria-live]')") == 1
        assert not await tab.evaluate("look.find('#problems').checkVisibility()")


async def test_hostile_names_and_texts_are_only_text(browser: Browser, stage: Stage) -> None:
    async with shown(browser, stage, STATES["hostile"]()) as tab:
        assert await tab.evaluate("[look.count('img'), look.count('script')]") == [0, 1]
        assert await tab.evaluate("window.hacked ?? null") is None
        assert HOSTILE in await tab.evaluate(FLOWS)


async def test_the_policy_would_stop_what_gets_in_all_the_same(browser: Browser, stage: Stage) -> None:
    async with shown(browser, stage, expects_complaints=True) as tab:
        image = '<img src=x style="top:0" onerror="window.hacked=1">'
        await tab.evaluate(f"look.find('#why').innerHTML = '{image}'")
        blocked = await tab.until("window.violations.length >= 3 && window.violations")
        assert {each.split()[0] for each in blocked} == {"img-src", "style-src-attr", "script-src-attr"}
        assert await tab.evaluate("window.hacked ?? null") is None


async def test_among_many_flows_those_with_problems_come_first_and_a_filter_finds_the_others(
    browser: Browser, stage: Stage
) -> None:
    async with shown(browser, stage, many_flows()) as tab:
        names = await tab.evaluate(FLOWS)
        assert names[:3] == ["balance-get", "ledger-copy", "stock-put"]
        assert names[3:] == sorted(names[3:])
        assert len(names) == 50
        await tab.evaluate("look.find('#filter').focus()")
        await tab.type("Tax-")
        assert await tab.evaluate(FLOWS) == ["tax-check", "tax-copy", "tax-get", "tax-new", "tax-put"]


async def test_rows_stay_where_they_are_while_the_keyboard_is_among_them(browser: Browser, stage: Stage) -> None:
    async with shown(browser, stage, all_fine(steerable=True)) as tab:
        order = await tab.evaluate(FLOWS)
        await tab.evaluate("look.find('#flows button').focus()")
        stage.document["flows"][0] |= {"circuit": "open", "errors": [an_error()]}
        await tab.until(f"{HEADLINE}.includes('failing')")
        assert await tab.evaluate(FLOWS) == order
        await tab.evaluate("document.activeElement.blur()")
        await tab.until(f"{FLOWS}[0] === 'credit-check'")


async def test_each_process_says_what_it_does(browser: Browser, stage: Stage) -> None:
    async with shown(browser, stage, several_processes()) as tab:
        assert await tab.evaluate("look.texts('#processes .state')") == [
            "receiving",
            "receiving",
            "not running, starts again in 2 s",
            "not receiving: connecting to the request queue",
        ]


async def test_a_worker_that_is_gone_is_said_to_be_and_its_return_is_seen(browser: Browser) -> None:
    async with browser.tab() as tab:
        async with staged() as stage:
            await tab.go(stage.url)
            await tab.until("look.isShown()")
        await tab.evaluate("(() => { const now = performance.now(); performance.now = () => now + 12000; })()")
        await tab.until(f"{HEADLINE} === 'No contact with the worker'")
        verdict = await tab.evaluate(VERDICT)
        assert "since 12 s" in verdict
        assert "What is shown below is from" in verdict
        async with staged(port=stage.port):
            await tab.until(f"{HEADLINE} === 'Working, all 3 flows are fine'")


async def test_whoever_finds_no_place_among_the_watchers_sees_the_status_all_the_same(
    browser: Browser, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MOST_WATCHERS", 0)
    async with shown(browser, stage, one_open(), expects_complaints=True) as tab:
        assert await tab.evaluate(HEADLINE) == VERDICTS["one-open"]


async def test_the_keyboard_reaches_every_control_and_shows_where_it_is(browser: Browser, stage: Stage) -> None:
    flows = [*one_open()["flows"], *many_flows()["flows"][:6]]
    async with shown(browser, stage, one_open(flows=flows)) as tab:
        reached: dict[int, str] = {}
        while True:
            await tab.press("Tab")
            focused = await tab.evaluate("look.focused()")
            if focused is None or focused["number"] in reached:
                break
            assert focused["isSeen"], focused["what"]
            reached[focused["number"]] = focused["what"]
        assert len(reached) == await tab.evaluate("look.controls()"), "\n".join(reached.values())
        assert "Skip to the flows" in reached[1]


@pytest.mark.parametrize("width", [1280, 390])
async def test_assistive_technology_finds_landmarks_headings_tables_and_names(
    browser: Browser, stage: Stage, width: int
) -> None:
    document = one_open(processes=several_processes()["processes"])
    async with shown(browser, stage, document, width=width) as tab:
        found = await accessible(tab)
    roles = [node.role for node in found]
    for landmark in ("banner", "main", "contentinfo", "navigation"):
        assert roles.count(landmark) == 1, landmark
    assert sorted(node.level for node in found if node.level is not None and node.role == "heading") == [1, *[2] * 7]
    named = {"button", "link", "searchbox", "DisclosureTriangle", "image", "table", "region"}
    assert [node for node in found if node.role in named and not node.name] == []
    assert {"table", "button", "image"} <= set(roles)
    names = {role: {node.name for node in found if node.role == role} for role in roles}
    assert {"Isolate flow address-lookup", "Reset flow credit-check"} <= names["button"]
    assert {name.split()[0] for name in names["table"]} == {"Outcomes", "Flows", "Processes"}
    assert {"credit-check", "Process 2", "answered"} <= names["rowheader"]
    assert {"Circuit", "Waiting", "p99", "Loop lag"} <= names["columnheader"]


async def test_a_circuit_is_isolated_with_the_token_after_a_question_and_reset_without_another(
    browser: Browser, stage: Stage
) -> None:
    async with shown(browser, stage, all_fine(steerable=True)) as tab:
        await tab.click("[aria-label='Isolate flow credit-check']")
        assert await tab.evaluate("look.text('#steering-title')") == "Isolate flow credit-check?"
        assert await tab.evaluate("document.activeElement.id") == "token"
        await tab.press("Escape")
        assert stage.steered == []
        await tab.until("document.activeElement.ariaLabel === 'Isolate flow credit-check'")  # the focus is back
        await tab.press("Enter")
        await tab.until("document.activeElement.id === 'token'")
        await tab.type(TOKEN)
        await tab.press("Enter")
        await tab.until(f"{HEADLINE}.includes('credit-check is isolated')")
        assert await tab.evaluate("[look.find('#steering').open, look.find('#token').value]") == [False, ""]
        assert await tab.evaluate("localStorage.length + sessionStorage.length + document.cookie.length") == 0
        await tab.click("[aria-label='Reset flow credit-check']")
        await tab.until(f"{HEADLINE}.includes('fine')")
    assert stage.steered == [Steer(flow="credit-check", action=action) for action in ("isolate", "reset")]


async def test_a_wrong_token_is_said_to_be_and_asked_for_again(browser: Browser, stage: Stage) -> None:
    async with shown(browser, stage, all_fine(steerable=True), expects_complaints=True) as tab:
        await tab.click("[aria-label='Isolate flow credit-check']")
        await tab.until("document.activeElement.id === 'token'")
        await tab.type("wrong")
        await tab.press("Enter")
        await tab.until("look.text('#refused') === 'That is not the admin token.'")
        assert stage.steered == []
        assert await tab.evaluate("document.activeElement.id") == "token"
        await tab.type(TOKEN)
        await tab.click("#confirm")
        await tab.until("!look.find('#steering').open")
    assert len(stage.steered) == 1


async def test_where_nothing_can_be_steered_there_are_no_buttons(browser: Browser, stage: Stage) -> None:
    async with shown(browser, stage, all_fine()) as tab:
        assert "button" not in {node.role for node in await accessible(tab)}


async def test_without_scripts_the_page_leads_to_the_status(browser: Browser, stage: Stage) -> None:
    async with browser.tab() as tab, asyncio.timeout(15):
        await tab.ask("Emulation.setScriptExecutionDisabled", value=True)
        await tab.go(stage.url)
        while not any("needs scripts" in node.name for node in await accessible(tab)):
            pass
        assert "/status" in {node.name for node in await accessible(tab) if node.role == "link"}


async def test_the_page_is_one_document_without_anything_from_elsewhere(stage: Stage) -> None:
    async with aiohttp.ClientSession() as client, client.get(stage.url) as response:
        text = (await response.text()).replace("http://www.w3.org/2000/svg", "")
    foreign = ("http://", "https://", " src=", "@import", " style=", " onclick", "innerHTML", "page.css", "page.js")
    assert [each for each in foreign if each in text] == []
