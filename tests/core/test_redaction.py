import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core import redaction
from worker.core.redaction import redact

SECRET = "aB3+/xyz=="


@pytest.mark.parametrize(
    "text",
    [
        f"Endpoint=sb://host/;SharedAccessKeyName=n;SharedAccessKey={SECRET};UseDevelopmentEmulator=true",
        f"https://host/p?api-version=1&sig={SECRET}&sv=1.0",
        f"https%3A%2F%2Fhost%3Fsig%3D{SECRET}",
        f"SharedAccessSignature sr=x&sig={SECRET}&se=1",
        f"Authorization: Bearer {SECRET}",
        f'{{"SharedAccessKey": "{SECRET}"}}',
        f'"{{\\"SharedAccessKey\\":\\"{SECRET}\\"}}"',
        f"sharedaccesskey = {SECRET}",
    ],
)
def test_a_secret_is_masked_wherever_it_stands(text: str) -> None:
    assert SECRET not in redact(text)
    assert "***" in redact(text)


def test_what_stands_around_a_secret_stays() -> None:
    assert redact("https://h/p?a=1&sig=abc&b=2") == "https://h/p?a=1&sig=***&b=2"
    assert redact("Endpoint=sb://h/;SharedAccessKeyName=n;SharedAccessKey=k;X=1") == (
        "Endpoint=sb://h/;SharedAccessKeyName=n;SharedAccessKey=***;X=1"
    )


def test_a_bare_token_is_masked() -> None:
    assert redact("got eyJhbGciOi.eyJhdWQi.c2ln back") == "got *** back"


def test_what_can_be_a_token_is_masked_behind_the_word_bearer() -> None:
    assert redact("sent bearer aB3+/xyz.0123-_~=, got 401") == "sent bearer ***, got 401"
    assert redact("{'authorization': 'Bearer short'}") == "{'authorization': 'Bearer ***'}"


@given(st.text())
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    assert redact(redact(text)) == redact(text)


@pytest.mark.parametrize(
    "text",
    [
        *("a design=modern flow", "SharedAccessKeyName=root", "the bearer of this", "signal=3"),
        *("a bearer token was refused", "Authorization: none", "the bearer authentication failed"),
    ],
)
def test_ordinary_words_are_left_alone(text: str) -> None:
    assert redact(text) == text


PIECES = [
    "sig=",
    "\u017fig=",
    "SIG%3D",
    "Shared",
    "Access\u212aey",
    "AccountKey",
    "=",
    "Bearer ",
    "eyJ",
    ".",
    "a1b2c3d4e5f6g7h8",
    "&",
]


@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join))
def test_nothing_that_the_pattern_would_find_is_passed_over(text: str) -> None:
    assert redact(text) == redaction._SECRET.sub(lambda found: (found["name"] or "") + "***", text)
