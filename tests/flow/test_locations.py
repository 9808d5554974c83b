import pytest
from yarl import URL

from worker.flow.locations import is_within_workflow, may_follow, parse_url

ORIGIN = URL("https://prod-1.logic.azure.com/workflows/x")


@pytest.mark.parametrize(
    ("location", "hosts", "is_followed"),
    [
        ("https://prod-1.logic.azure.com/o", (), True),
        ("https://prod-1.logic.azure.com:443/o", (), True),
        ("https://PROD-1.logic.azure.com/o", (), True),
        ("https://prod-1.logic.azure.com:8443/o", (), False),
        ("http://prod-1.logic.azure.com/o", (), False),
        ("http://prod-1.logic.azure.com/o", ("prod-1.logic.azure.com",), False),
        ("https://prod-1.logic.azure.com.evil.example/o", (), False),
        ("https://evil.example/o", ("prod-1.logic.azure.com",), False),
        ("https://listed.example/o", ("Listed.Example",), True),
        ("https://listed.example:8443/o", ("listed.example:8443",), True),
        ("https://sub.listed.example/o", ("listed.example",), False),
        ("https://user:word@prod-1.logic.azure.com/o", (), False),
        ("ftp://prod-1.logic.azure.com/o", (), False),
    ],
)
def test_only_the_flows_own_origin_and_listed_hosts_are_polled(
    location: str, hosts: tuple[str, ...], *, is_followed: bool
) -> None:
    assert may_follow(URL(location), ORIGIN, hosts) is is_followed


@pytest.mark.parametrize("text", ["https://x/p%2Fq?sig=a%2Bb%3D", "https://x/?a=b+c&sig=%c3"])
def test_a_url_is_sent_as_it_was_given(text: str) -> None:
    assert str(parse_url(text)) == text


TRIGGER = URL("https://x/automations/workflows/abc/triggers/manual/paths/invoke?api-version=1")


@pytest.mark.parametrize(
    ("location", "is_within"),
    [
        ("https://x/automations/workflows/abc/runs/1/operations/2", True),
        ("https://x/automations/workflows/abcd/runs/1", False),
        ("https://x/automations/workflows/other/triggers/manual/paths/invoke", False),
        ("https://x/automations/workflows/abc/../other/runs/1", False),
        ("https://x/automations/workflows/abc/%2e%2e/other/runs/1", False),
        ("https://x/automations/workflows/abc/..%2fother", False),
        ("https://x/", False),
    ],
)
def test_a_workflows_runs_lie_beside_its_trigger(location: str, *, is_within: bool) -> None:
    assert is_within_workflow(parse_url(location), TRIGGER) is is_within


def test_a_trigger_of_another_form_owns_what_lies_below_it() -> None:
    assert is_within_workflow(URL("https://x/flow/status/1"), URL("https://x/flow"))
    assert not is_within_workflow(URL("https://x/flows/1"), URL("https://x/flow"))
