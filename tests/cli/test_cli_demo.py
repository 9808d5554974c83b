import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from worker.cli.demo import _summary
from worker.cli.demonstration.scenarios import Seen, questions
from worker.cli.demonstration.screen import Screen
from worker.core.outcome import Outcome
from worker.requester import TypedReply

ANSWER = TypedReply(
    outcome=Outcome.ANSWERED,
    request_id="r",
    correlation_id="c",
    http_status=200,
    attempts=1,
    elapsed_ms=5,
    run_id="0858",
    reason=None,
    retry_after_s=None,
    content_type=None,
    body=b"",
    properties={},
)


@asynccontextmanager
async def demo(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """With the environment of somebody who has an Azure identity and a proxy of their own."""
    foreign = {
        "AZURE_CLIENT_ID": "6b1c1c1e-6b5e-4f5c-9d43-02c4a2e51f10",
        "IDENTITY_ENDPOINT": "http://127.0.0.1:9/msi",
        "IDENTITY_HEADER": "x",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "worker", "demo", *arguments),
        env={**os.environ, **foreign},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_the_demo_ends_by_itself_with_every_answer_as_expected() -> None:
    async with demo() as process:
        out, _ = await process.communicate()
    told = out.decode()
    assert process.returncode == 0, told
    assert told.count("\nok ") == len(questions())
    assert "All 209 answers were as expected." in told
    assert re.search(r"p50 \d+ ms, p99 \d+ ms", told)
    assert all(f"outcome {outcome.value}" in told for outcome in Outcome)


async def test_what_is_kept_can_be_asked_with_the_printed_commands() -> None:
    async with demo("--keep") as process:
        assert process.stdout is not None
        told = ""
        while "request --flow discount --json" not in told:
            told += (await process.stdout.readline()).decode()
        assert re.search(r"^  worker    http://127\.0\.0\.1:\d+/ \(its status page\)", told, re.MULTILINE)
        script = "\n".join(line for line in told.split("In another terminal:\n")[1].splitlines())
        shell = await asyncio.create_subprocess_exec(
            *("sh", "-c", script.replace("flowbridge ", f"{sys.executable} -m worker ")),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        out, _ = await shell.communicate()
        assert out.startswith(b'{"hello": "flow"}{"outcome":"refused","http_status":422')
        assert shell.returncode == 3
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


def seen(title: str, wrong: str | None = None) -> Seen:
    return Seen(title=title, event="Update x", target="f", reply=ANSWER, elapsed_ms=5.0, wrong=wrong)


def test_a_wrong_answer_is_counted_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen([])
    burst = [seen("echo"), seen("echo", "got another body")]
    assert _summary(screen, [seen("first", "expected refused, got answered")], burst, 1.0) == 2
    out = capsys.readouterr().out
    assert "WRONG  first: expected refused, got answered" in out
    assert "2 of 3 answers were wrong." in out


def test_on_a_terminal_the_answers_fill_a_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "160")
    asked = questions()
    with Screen(asked) as screen:
        screen.show(seen(asked[0].title))
    out = capsys.readouterr().out
    assert asked[0].title in out
    assert "answered" in out
    assert "✓" in out
