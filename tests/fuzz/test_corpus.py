"""What was interesting once is tried again on every run, and costs no more than a few times its size."""

import tracemalloc

import pytest

from fuzz.corpus import CORPUS, cases
from fuzz.targets import TARGETS

CASES = [(target, name) for target in TARGETS for name in cases(target)]


def test_every_target_has_cases_and_every_case_a_target() -> None:
    assert {folder.name for folder in CORPUS.iterdir()} == set(TARGETS)
    assert {target for target, _ in CASES} == set(TARGETS)


@pytest.mark.parametrize("target", TARGETS)
def test_every_case_keeps_what_is_promised(target: str) -> None:
    broken = {}
    for name, data in cases(target).items():
        try:
            TARGETS[target].check(data)
        except Exception as error:  # noqa: BLE001 - all of them are told, each with its name
            broken[name] = repr(error)
    assert broken == {}


@pytest.mark.parametrize("target", ["amqp-value", "amqp-connection", "context", "delivery", "unpacking", "settings"])
def test_no_case_costs_more_memory_than_some_times_its_size(target: str) -> None:
    check = TARGETS[target].check
    for name, data in cases(target).items():
        tracemalloc.start()
        check(data)
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak_bytes < 4_000_000 + 200 * len(data), name
