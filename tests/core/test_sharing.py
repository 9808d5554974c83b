from hypothesis import given
from hypothesis import strategies as st

from worker.core.sharing import even_shares


@given(st.integers(0, 1_000_000), st.integers(1, 64))
def test_shares_are_even_and_come_to_the_whole(total: int, among: int) -> None:
    shares = even_shares(total, among)
    assert len(shares) == among
    assert sum(shares) == total
    assert max(shares) - min(shares) <= 1
