"""What the worker would refuse at its start is refused before anything reaches a cluster."""

from typing import Final

import pytest
from chart.rendering import DOOR, LEAST, Refused, Values, of_values, over
from support.house import load_document

from worker.settings import SettingsInvalid

FLOW: Final = LEAST["config"]["flows"][0]
SECRET: Final = LEAST["secrets"]["connectionString"]


def flow(**keys: object) -> Values:
    return {"flows": [{**FLOW, **keys}]}


def matched(**match: object) -> Values:
    return {"routes": [{"flow": "flow", "match": match}]}


def door(**keys: object) -> Values:
    return {"door": {**DOOR["config"]["door"], "host": "0.0.0.0", **keys}}


BROKEN: Final[list[Values]] = [
    flow(url="http://x.example/1"),
    flow(url="contoso.example/1"),
    flow(url="https://me:TOPSECRET@contoso.example/1"),
    flow(auth="none"),
    flow(auth="sas"),
    flow(polling_hosts=["https://x/y"]),
    flow(hedge_after_s=1),
    flow(retry={"first_s": 30}),
    flow(body="context", body_template={}),
    flow(method="GET", body="context"),
    {"flows": [{**FLOW, "name": "a"}, FLOW]},
    {"servicebus": {"reply_queues": ["a", "A"]}},
    {"servicebus": {"request_queue": "a", "reply_queues": ["a"]}},
    {"servicebus": {"namespace": "contoso"}},
    {"worker": {"concurrency": 3, "processes": 4}},
    {"identity": {"kind": "static"}},
    matched(any=[]),
    matched(user="somebody"),
    door(tenants=[]),
    door(tenants=["contoso"]),
    door(audiences=[]),
    door(callers=[]),
    door(callers=[{"name": "a"}]),
    door(callers=[{"name": "a", "ids": ["me"]}]),
    door(callers=[{"name": "a", "roles": ["r"]}] * 2),
    door(callers=[{"name": "a", "roles": ["r"], "flows": ["other"]}]),
    door(reply_queue="other"),
    door(default_wait_s=120),
    door(authority="ftp://login.example"),
    door(authority="https://login.example?x"),
    door(remember_s=1),
]


@pytest.mark.parametrize("config", BROKEN, ids=[str(config)[:70] for config in BROKEN])
def test_what_the_worker_refuses_is_not_rendered(config: Values) -> None:
    secrets = {"servicebus": {"connection_string": SECRET}, "door": {"secret": DOOR["secrets"]["doorSecret"]}}
    with pytest.raises(SettingsInvalid):
        load_document(over(over(LEAST["config"], secrets), config))
    with pytest.raises(Refused) as refused:
        of_values({"config": config, "door": {"enabled": "door" in config}, "secrets": DOOR["secrets"]})
    assert "TOPSECRET" not in str(refused.value)


@pytest.mark.parametrize("secret", ["", "x" * 31, f"{'x' * 32} x", f"{'x' * 32}ü"])
def test_a_door_without_a_good_secret_is_refused_by_both(secret: str) -> None:
    given = {"servicebus": {"connection_string": SECRET}, "door": {"secret": secret}}
    with pytest.raises(SettingsInvalid):
        load_document(over(over(LEAST["config"], given), door()))
    with pytest.raises(Refused):
        of_values(over(DOOR, {"secrets": {"doorSecret": secret}}))


@pytest.mark.parametrize("url", ["http://127.0.0.1:7000/x", "http://LOCALHOST/x", "http://[::1]:7000/x"])
def test_what_the_worker_takes_from_loopback_the_chart_takes_too(url: str) -> None:
    config = flow(url=url, auth="none", polling_hosts=["::1", "x.example", "10.0.0.1"])
    load_document(over({**LEAST["config"], "servicebus": {"connection_string": SECRET}}, config))
    of_values({"config": config})


def test_a_secret_that_is_refused_is_not_quoted() -> None:
    with pytest.raises(Refused) as refused:
        of_values({"secrets": {"adminToken": "TOPSECRET", "connectionString": "Endpoint=sb://h/;EntityPath=TOPSECRET"}})
    told = str(refused.value)
    assert "secrets.adminToken must be at least 16 printable ASCII characters" in told
    assert "secrets.connectionString must be the namespace's own" in told
    assert "TOPSECRET" not in told


@pytest.mark.parametrize(
    "values", [{"secrets": {"doorSecret": "TOPSECRET"}}, {"config": {"door": {"secret": "TOPSECRET"}}}]
)
def test_a_secret_of_the_door_that_is_refused_is_not_quoted(values: Values) -> None:
    with pytest.raises(Refused) as refused:
        of_values(over(DOOR, values))
    assert "secrets.doorSecret" in str(refused.value)
    assert "TOPSECRET" not in str(refused.value)
