import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.door.asker import Asker
from worker.core.door.ids import NONCE_BYTES, REPLICA, RequestId, key_id

SECRET = b"of the doors"
TEXTS = st.text(max_size=30)
ASKERS = st.builds(
    lambda tenant, name: Asker(tenant_id=tenant, object_id=name), TEXTS, st.text(min_size=1, max_size=30)
)
DRAWS = st.binary(min_size=NONCE_BYTES, max_size=NONCE_BYTES)
ISSUED = st.integers(0, 10**12 - 1)


@given(ASKERS, st.from_regex(REPLICA, fullmatch=True), ISSUED, DRAWS)
def test_an_id_is_read_as_it_was_issued_and_fits_a_header_a_path_and_a_message(
    asker: Asker, replica: str, issued: int, draw: bytes
) -> None:
    request_id = RequestId.issue(asker, secret=SECRET, replica=replica, issued=issued, draw=draw)
    text = str(request_id)
    assert RequestId.read(text) == RequestId.of(text) == request_id
    assert request_id.is_of(asker, secret=SECRET)
    assert re.fullmatch(r"[a-zA-Z0-9_.-]{1,128}", text)


@given(ASKERS, ASKERS, ISSUED, DRAWS)
def test_an_id_is_of_its_asker_alone(asker: Asker, other: Asker, issued: int, draw: bytes) -> None:
    request_id = RequestId.issue(asker, secret=SECRET, replica="door-0", issued=issued, draw=draw)
    assert request_id.is_of(other, secret=SECRET) == (asker.key == other.key)


@given(ASKERS, DRAWS, st.data())
def test_whoever_changes_nonce_or_owner_of_an_id_has_an_id_of_nobody(
    asker: Asker, draw: bytes, data: st.DataObject
) -> None:
    text = str(RequestId.issue(asker, secret=SECRET, replica="door-0", issued=1_700_000_000, draw=draw))
    place = data.draw(st.integers(len(text) - 45, len(text) - 1))
    other = data.draw(st.sampled_from("Aa0-_").filter(lambda letter: letter != text[place]))
    changed = RequestId.read(text[:place] + other + text[place + 1 :])
    assert changed is None or not changed.is_of(asker, secret=SECRET)


@given(st.text(max_size=150))
def test_what_no_door_issued_is_none_and_says_so(text: str) -> None:
    request_id = RequestId.read(text)
    assert request_id is None or str(request_id) == text
    if request_id is None:
        with pytest.raises(ValueError, match="expected a request id"):
            RequestId.of(text)


@given(st.tuples(ASKERS, TEXTS, TEXTS), st.tuples(ASKERS, TEXTS, TEXTS))
def test_a_key_is_one_askers_for_one_flow(one: tuple[Asker, str, str], other: tuple[Asker, str, str]) -> None:
    """No words of one part can be mistaken for those of the next."""
    first, second = (key_id(asker, secret=SECRET, flow=flow, idempotency_key=key) for asker, flow, key in (one, other))
    assert (first == second) == ((one[0].key, *one[1:]) == (other[0].key, *other[1:]))


def test_who_does_not_know_the_secret_makes_up_ids_and_keys_of_nobody() -> None:
    asker = Asker(tenant_id="t", object_id="o")
    forged = RequestId.issue(asker, secret=b"another", replica="door-0", issued=1, draw=bytes(NONCE_BYTES))
    assert not forged.is_of(asker, secret=SECRET)
    same = {"flow": "f", "idempotency_key": "k"}
    assert key_id(asker, secret=b"another", **same) != key_id(asker, secret=SECRET, **same)


def test_parts_of_a_key_are_kept_apart() -> None:
    asker = Asker(tenant_id="t", object_id="o")
    one, other = (
        key_id(asker, secret=SECRET, flow=flow, idempotency_key=key) for flow, key in (("ab", "c"), ("a", "bc"))
    )
    assert one != other
