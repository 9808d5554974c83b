"""What a child is started with, through a socket to no child."""

import socket
from pathlib import Path

import pytest

from worker.settings import Settings, load
from worker.supervisor.brief import Brief, received, shared_out


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "schema.json").write_text('{"required": ["account"]}')
    environ = {
        "SERVICEBUS__CONNECTION_STRING": "Endpoint=sb://h.example/;SharedAccessKeyName=n;SharedAccessKey=TOPSECRET",
        "WORKER": '{"processes": 3, "concurrency": 8}',
        "FLOWS__0__URL": "https://flows.example.com/run",
        "FLOWS__0__REQUEST_SCHEMA": str(tmp_path / "schema.json"),
    }
    return load(None, {f"FLOWBRIDGE_{name}": text for name, text in environ.items()})


def handed_over(sent: bytes) -> Brief | None:
    ours, theirs = socket.socketpair()
    with theirs:
        ours.sendall(sent)
        ours.close()
        came = received(theirs.fileno())
    if came is None:
        return None
    brief, line = came
    line.close()
    return brief


def test_what_is_in_flight_is_shared_out_and_all_else_is_the_same(settings: Settings) -> None:
    shares = shared_out(settings)
    assert [each.worker.concurrency for each in shares] == [3, 3, 2]
    for each in shares:
        same = each.worker.model_copy(update={"concurrency": 8})
        assert each.model_copy(update={"worker": same}) == settings


def test_one_process_has_the_very_settings(settings: Settings) -> None:
    alone = settings.model_copy(update={"worker": settings.worker.model_copy(update={"processes": 1})})
    assert shared_out(alone) == [alone]


def test_settings_arrive_with_secrets_and_schemas_as_they_were(settings: Settings, tmp_path: Path) -> None:
    brief = Brief(process=1, settings=settings, log_level="info")
    sent = brief.to_bytes()
    (tmp_path / "schema.json").unlink()
    came = handed_over(sent)
    assert came == brief
    assert came.settings.flow_specs() == settings.flow_specs()
    schema = came.settings.flows[0].request_schema
    assert schema is not None
    assert schema.fault(b'{"account": 1}') is None
    assert schema.fault(b"{}") is not None


@pytest.mark.parametrize("kept", [0, 1, 100, -1])
def test_from_a_supervisor_that_has_gone_nothing_comes(settings: Settings, kept: int) -> None:
    sent = Brief(process=0, settings=settings, log_level="info").to_bytes()
    assert handed_over(sent[:kept]) is None
