import pytest

from worker.settings.addresses import check_namespace


@pytest.mark.parametrize(
    "name", ["contoso.servicebus.windows.net", "contoso.servicebus.windows.net:5671", "localhost:1", "127.0.0.1:65535"]
)
def test_a_namespace_is_a_full_host_name_and_may_have_a_port(name: str) -> None:
    assert check_namespace(name) == name


@pytest.mark.parametrize(
    "name",
    ["contoso", "contoso:5671", "sb://contoso.servicebus.windows.net", "a.b/", "a.b:", "a.b:0", "a.b:65536", "a.b:c"],
)
def test_anything_else_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected a full host name"):
        check_namespace(name)
