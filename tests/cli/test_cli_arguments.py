import errno
from collections.abc import Sequence
from pathlib import Path

import pytest

from worker.cli.failure import CommandFailed, tell
from worker.cli.main import main
from worker.core.failures import Misconfigured

COMMANDS = ("demo", "run", "request", "route", "check", "emulator", "bench")


def ran(capsys: pytest.CaptureFixture[str], arguments: Sequence[str]) -> tuple[int, str, str]:
    status = main(arguments)
    said = capsys.readouterr()
    return status, said.out, said.err


def test_the_version_is_the_distributions(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = ran(capsys, ["--version"])
    assert status == 0
    assert out.startswith("flowbridge 0.")


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_without_a_command_the_help_lists_them_all(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    status, out, _ = ran(capsys, arguments)
    assert status == 0
    assert all(command in out for command in COMMANDS)
    assert "Example: flowbridge demo" in out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(capsys: pytest.CaptureFixture[str], command: str) -> None:
    status, out, _ = ran(capsys, [command, "--help"])
    assert status == 0
    assert f"\n    flowbridge {command}" in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nope"], "No such command 'nope'. See 'flowbridge --help'."),
        (["request", "--bdy", "x"], "No such option: --bdy"),
        (["request", "--body", "@/no/such/file"], "/no/such/file: No such file or directory"),
        (["request", "--property", "x"], "expected NAME=VALUE, got 'x'"),
        (["request", "--property", "flow=x"], "flow is set with --flow"),
        (["request", "--property", "timeout-s=5"], "timeout-s is set with --timeout"),
        (["route", "--body", "@/no/such/file"], "/no/such/file: No such file or directory"),
        (["route", "--property", "x"], "expected NAME=VALUE, got 'x'"),
        (["request", "--timeout", "0"], "expected a positive number of seconds, got 0"),
        (["emulator", "--queue", "a:b"], "expected NAME or NAME:session, got 'a:b'"),
        (["bench", "--subjects", "floor,x"], "expected some of floor, worker, plain, documented, node, got 'x'"),
        (["bench", "--rates", "20;200"], "expected requests/s up to 10,000, separated by commas, got '20;200'"),
        (["bench", "--svg", "/no/such/folder/a.svg"], "there is no folder /no/such/folder"),
        (["emulator", "--port", "x"], "See 'flowbridge emulator --help'."),
    ],
)
def test_a_wrong_argument_is_told_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    status, out, err = ran(capsys, arguments)
    assert (status, out) == (2, "")
    assert err.startswith("flowbridge: ")
    assert told in err
    assert err.count("\n") == 1


def test_all_that_is_wrong_with_settings_is_told_at_once(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "flowbridge.toml"
    file.write_text('[worker]\ndrain_s = 150\nconcurency = 3\n[[flows]]\nurl = "http://a.example.com/?sig=TOPSECRET"')
    status, _, err = ran(capsys, ["run", "--config", str(file)])
    assert status == 2
    lines = err.splitlines()
    assert {line.split(":")[1].strip() for line in lines} == {
        "worker.concurency",
        "servicebus",
        "worker.drain_s",
        "flows[0].url",
        "flows[0].auth",
    }
    assert "TOPSECRET" not in err
    assert "Traceback" not in err


def test_an_unknown_log_level_is_bad_settings(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWBRIDGE_SERVICEBUS__NAMESPACE", "contoso.servicebus.windows.net")
    monkeypatch.setenv("FLOWBRIDGE_FLOWS__0__URL", "https://flows.example.com/")
    monkeypatch.setenv("FLOWBRIDGE_LOG_LEVEL", "loud")
    status, _, err = ran(capsys, ["run"])
    assert status == 2
    assert "debug, info, warning, error" in err


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (CommandFailed("No. Do this."), "flowbridge: No. Do this.\n"),
        (ExceptionGroup("tasks", [ExceptionGroup("", [Misconfigured("No queue.")])]), "flowbridge: No queue.\n"),
        (Misconfigured("Endpoint=sb://h/;SharedAccessKey=TOPSECRET"), "SharedAccessKey=***"),
        (PermissionError(13, "Permission denied", "/x"), "/x: Permission denied. Check the address or path"),
        (
            OSError(errno.EADDRINUSE, "error while attempting to bind on address ('::', 80): address already in use"),
            "Can't listen: ('::', 80): address already in use. Set another http.port",
        ),
        (KeyError("x"), "This should not have happened (KeyError: 'x'). Set FLOWBRIDGE_DEBUG=1"),
    ],
)
def test_a_failure_is_told_without_traceback_and_secrets(
    capsys: pytest.CaptureFixture[str], error: Exception, told: str
) -> None:
    assert tell(error) == 1
    err = capsys.readouterr().err
    assert told in err
    assert "TOPSECRET" not in err
