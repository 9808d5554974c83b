"""Bugs are planted where they are said to be, and nowhere else, and are gone afterwards."""

import pytest
from chaos.planted import BUGS, planted


@pytest.mark.parametrize("name", BUGS)
def test_a_bug_changes_something_that_is_there_and_is_undone(name: str) -> None:
    changed: list[tuple[object, str, object]] = []
    BUGS[name](lambda owner, attribute, value: changed.append((owner, attribute, getattr(owner, attribute))))
    assert changed
    with planted(name):
        assert all(getattr(owner, attribute) is not before for owner, attribute, before in changed)
    assert all(getattr(owner, attribute) is before for owner, attribute, before in changed)
