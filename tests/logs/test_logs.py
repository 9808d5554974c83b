import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pytest
import structlog

from worker import logs

SECRET = "aB3+xyz=="
Lines: TypeAlias = Callable[[], list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    standard = logging.getLogger()
    handlers, level = standard.handlers, standard.level
    yield
    standard.handlers, standard.level = handlers, level
    structlog.reset_defaults()


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    return lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_away_from_a_terminal_every_line_is_one_json_object(lines: Lines) -> None:
    logs.configure("info")
    structlog.get_logger().info("request_done", outcome="answered", attempts=2)
    (line,) = lines()
    assert (line["event"], line["level"], line["outcome"], line["attempts"]) == ("request_done", "info", "answered", 2)
    assert line["timestamp"].endswith("Z")


def test_one_of_several_processes_says_which_it_is(lines: Lines) -> None:
    logs.configure("info", process=3)
    structlog.get_logger().info("request_done")
    logging.getLogger("third.party").warning("retrying")
    assert [line["process"] for line in lines()] == [3, 3]


def test_what_is_below_the_level_is_not_said(lines: Lines) -> None:
    logs.configure("warning")
    structlog.get_logger().info("quiet")
    logging.getLogger("third.party").info("quiet")
    assert lines() == []


def test_third_parties_come_out_through_the_same_door(lines: Lines) -> None:
    logs.configure("info")
    logging.getLogger("third.party").warning("retrying %s", "now", extra={"queue": "q"})
    (line,) = lines()
    assert (line["event"], line["logger"], line["queue"]) == ("retrying now", "third.party", "q")


def test_the_sdk_stays_quiet_even_at_debug(lines: Lines) -> None:
    logs.configure("debug")
    logging.getLogger("azure.servicebus._pyamqp").info("frame")
    assert lines() == []


@pytest.mark.parametrize("name", ["azure.servicebus._pyamqp", "azure.identity.aio._internal.decorators"])
def test_what_our_own_lines_tell_in_a_sentence_the_sdk_does_not_say(lines: Lines, name: str) -> None:
    logs.configure("info")
    logging.getLogger(name).error("the endpoint said %s", "anything")
    assert lines() == []


@pytest.mark.parametrize(
    "value",
    [
        f"https://h/?a=1&sig={SECRET}",
        {"deep": [{"deeper": (f"Endpoint=sb://h/;SharedAccessKey={SECRET}",)}]},
        f"https://h/?sig={SECRET}".encode(),
        {"Authorization": f"Bearer {SECRET}"},
        ValueError(f"sig={SECRET}"),
        {"SharedAccessKey": SECRET},
    ],
)
@pytest.mark.parametrize("as_json", [True, False])
def test_a_secret_is_redacted_in_every_kind_of_value(
    capsys: pytest.CaptureFixture[str], value: Any, as_json: bool
) -> None:
    logs.configure("info", json=as_json)
    structlog.get_logger().info("started", value=value)
    logging.getLogger("third.party").warning("said %s", value)
    said = capsys.readouterr().err
    assert "started" in said
    assert SECRET not in said


@pytest.mark.parametrize("as_json", [True, False])
def test_a_secret_is_redacted_in_exceptions_and_local_variables_stay_unsaid(
    capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    logs.configure("info", json=as_json)

    def fail() -> None:
        local = "local-" + "value"
        raise ValueError(f"refused: sig={SECRET}", len(local))

    try:
        fail()
    except ValueError:
        structlog.get_logger().exception("failed")
        logging.getLogger("third.party").exception("failed too")
    said = capsys.readouterr().err
    assert said.count("ValueError: ") == 2
    assert SECRET not in said
    assert "local-value" not in said


def test_a_value_that_json_can_not_hold_is_said_all_the_same(lines: Lines) -> None:
    logs.configure("info")
    structlog.get_logger().info("odd", text="half a pair \ud800", kind=object)
    (line,) = lines()
    assert "odd" in line["event"]


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="debug, info, warning, error"):
        logs.configure("loud")


def test_a_log_that_nobody_reads_any_more_does_not_stop_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = io.StringIO()
    monkeypatch.setattr("sys.stderr", gone)
    logs.configure("info")
    logger = structlog.get_logger()
    logger.info("said to somebody")
    heard = gone.getvalue()
    gone.close()
    logger.info("said to nobody")
    assert "said to somebody" in heard
