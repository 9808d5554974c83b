"""The command as a process of its own, started by somebody careless."""

import asyncio
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE

import pytest

FLOWBRIDGE = (sys.executable, "-m", "worker")


async def redirected(redirections: str, *arguments: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", f'exec "$@" {redirections}', "sh", *FLOWBRIDGE, *arguments),
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize("redirections", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
async def test_a_closed_stream_changes_no_exit_status_and_no_other_stream(redirections: str) -> None:
    status, out, err = await redirected(redirections, "check")
    assert status == 1
    assert ("FAILED" in out) == (">&-" not in redirections.split())
    assert ("checks failed" in err) == ("2>&-" not in redirections)
    assert "Traceback" not in err


async def test_with_every_stream_closed_the_demo_still_works() -> None:
    assert (await redirected("<&- >&- 2>&-", "demo"))[0] == 0


async def test_a_body_from_a_closed_stdin_is_empty() -> None:
    status, _, err = await redirected("<&-", "request", "--body", "-")
    assert status == 2
    assert err.startswith("flowbridge: servicebus: ")


async def test_what_only_the_supervisor_may_start_says_so() -> None:
    status, _, err = await redirected("", "process")
    assert (status, err) == (
        1,
        "flowbridge: This command is for the worker itself. Set worker.processes and use 'run'.\n",
    )


async def test_what_the_terminal_has_no_character_for_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
    for name, value in plain.items():
        monkeypatch.setenv(name, value)
    status, out, err = await redirected("", "demo")
    assert (status, err) == (0, "")
    assert "on loopback ?" in out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("command", ["run", "emulator"])
async def test_a_signal_during_the_imports_is_a_clean_end(command: str, number: signal.Signals) -> None:
    """Without settings `run` would end with 2, by the signal itself with its negative number."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-X", "importtime", "-m", "worker", command), stdout=DEVNULL, stderr=PIPE
    )
    assert process.stderr is not None
    async for line in process.stderr:
        if line.rstrip().endswith(b" typer"):
            break
    process.send_signal(number)
    await process.communicate()
    assert process.returncode == 0
