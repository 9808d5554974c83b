"""A few inputs for each target, by its format or mutants of kept cases; `fuzz.py` tries them by the million."""

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.corpus import cases
from fuzz.mutations import mutated
from fuzz.targets import TARGETS


def mutants(name: str) -> st.SearchStrategy[bytes]:
    """Of the kept cases."""
    kept = list(cases(name).values())
    return st.builds(
        lambda case, seed: mutated(case, Random(seed), others=kept, tokens=TARGETS[name].tokens),
        st.sampled_from(kept),
        st.integers(0, 2**32 - 1),
    )


@pytest.mark.parametrize("name", TARGETS)
def test_whatever_comes_is_taken_or_refused_in_words(name: str) -> None:
    @given(TARGETS[name].made | mutants(name))
    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    def holds(data: bytes) -> None:
        TARGETS[name].check(data)

    holds()
