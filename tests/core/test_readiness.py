import pytest

from worker.core.readiness import Readiness, readiness, readiness_of_all


def read(
    *,
    is_draining: bool = False,
    is_paused: bool = False,
    lanes_receiving: int = 2,
    bus_failure: str | None = None,
    token_failure: str | None = None,
    loop_failure: str | None = None,
) -> Readiness:
    return readiness(
        is_draining=is_draining,
        is_paused=is_paused,
        lanes_receiving=lanes_receiving,
        bus_failure=bus_failure,
        token_failure=token_failure,
        loop_failure=loop_failure,
    )


def test_a_worker_that_receives_is_ready() -> None:
    assert read() == Readiness(reasons=())
    assert read().is_ready


def test_one_lane_that_receives_is_enough() -> None:
    assert read(lanes_receiving=1, bus_failure="one connection was reset").is_ready


def test_a_worker_that_has_not_connected_yet_says_so() -> None:
    ready = read(lanes_receiving=0)
    assert not ready.is_ready
    assert ready.reasons == ("not receiving: connecting to the request queue",)


def test_a_worker_that_receives_nothing_says_why() -> None:
    assert read(lanes_receiving=0, bus_failure="No queue 'x'.").reasons == ("not receiving: No queue 'x'.",)


@pytest.mark.parametrize("lanes_receiving", [0, 2])
def test_a_draining_worker_is_not_ready_for_that_reason_alone(lanes_receiving: int) -> None:
    ready = read(is_draining=True, lanes_receiving=lanes_receiving)
    assert not ready.is_ready
    [reason] = ready.reasons
    assert reason.startswith("draining")


def test_a_worker_without_a_token_is_not_ready() -> None:
    ready = read(token_failure="the identity has no access")
    assert not ready.is_ready
    assert ready.reasons == ("no token for the flows: the identity has no access",)


def test_an_intake_closed_for_want_of_a_token_does_not_blame_the_bus() -> None:
    ready = read(is_paused=True, lanes_receiving=0, token_failure="Identity not found")
    assert ready.reasons == ("no token for the flows: Identity not found",)


def test_a_worker_whose_loop_stood_still_says_so() -> None:
    [reason] = read(loop_failure="the event loop stood still for 3.0 s").reasons
    assert "3.0 s" in reason
    assert "CPU" in reason


def test_every_reason_is_told() -> None:
    assert len(read(lanes_receiving=0, bus_failure="down", token_failure="none", loop_failure="held up").reasons) == 3


READY = Readiness(reasons=())
AWAY = Readiness(reasons=("not receiving: down", "held up: 3 s"))


def test_one_process_that_is_ready_is_enough() -> None:
    assert readiness_of_all([AWAY, READY], is_draining=False) == READY


def test_several_processes_of_which_none_is_ready_say_all_their_reasons_by_number() -> None:
    assert readiness_of_all([AWAY, AWAY], is_draining=False).reasons == (
        "process 0: not receiving: down",
        "process 0: held up: 3 s",
        "process 1: not receiving: down",
        "process 1: held up: 3 s",
    )


def test_several_processes_drain_as_one_worker_does() -> None:
    assert readiness_of_all([READY, AWAY], is_draining=True) == read(is_draining=True)
