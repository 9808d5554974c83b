"""What can't work is refused before anything reaches a cluster, in words that say what to do."""

import pytest
from chart import tools
from chart.rendering import CHART, DOOR, LEAST, RELEASE, Refused, Values, of_values, over, run

FLOW = LEAST["config"]["flows"][0]
NAMESPACE = {
    "config": {"servicebus": {"namespace": "contoso.servicebus.windows.net"}},
    "secrets": {"connectionString": ""},
}
KEDA = {"autoscaling": {"keda": {"enabled": True}}}
HPA = {"autoscaling": {"hpa": {"enabled": True}}}
WORKLOAD = over(NAMESPACE, {"config": {"identity": {"kind": "workload", "client_id": "x"}}})


def flows(*flows: Values) -> Values:
    return {"config": {"flows": list(flows)}}


def bus(**keys: object) -> Values:
    return {"config": {"servicebus": keys}}


def door(**keys: object) -> Values:
    return over(DOOR, {"config": {"door": keys}})


def autoscaled(how: Values, **keys: object) -> Values:
    return over(how, {"autoscaling": keys})


CONTRADICTIONS: list[tuple[str, Values]] = [
    ("config.servicebus.namespace is empty and there is no connection string", {"secrets": {"connectionString": ""}}),
    ("namespace and a connection string are both given", bus(namespace="contoso.servicebus.windows.net")),
    ("config.servicebus.connection_string would end up in a ConfigMap", bus(connection_string="Endpoint=sb://x/")),
    ("connection_string_file is the chart's own", bus(connection_string_file="/x")),
    ("set config.servicebus.request_subscription", bus(request_topic="t", retry_queue="r")),
    (
        "request_queue and request_topic are both set",
        bus(request_topic="t", request_subscription="s", request_queue="q"),
    ),
    (
        "set config.servicebus.retry_queue, or config.worker.redelivery_s: []",
        bus(request_topic="t", request_subscription="s"),
    ),
    (
        "retry_queue is not used with request_sessions",
        bus(request_topic="t", request_subscription="s", request_sessions=True, retry_queue="r"),
    ),
    ("request_subscription and retry_queue go with a topic", bus(retry_queue="r")),
    ("config.http.admin_token would end up in a ConfigMap", {"config": {"http": {"admin_token": "0123456789abcdef"}}}),
    (
        "config.http.admin_token_file is the chart's own",
        {"config": {"http": {"admin_token_file": "/x"}}, "secrets": {"adminToken": "0123456789abcdef"}},
    ),
    (
        "autoscaling.keda can't read config.servicebus.connection_string_file",
        over(over(KEDA, bus(connection_string_file="/x")), {"secrets": {"connectionString": ""}}),
    ),
    (
        "config.identity.kind static is for the emulator only",
        over(NAMESPACE, {"config": {"identity": {"kind": "static"}}}),
    ),
    ("config.flows is empty", flows()),
    ("config.flows[0] (flow) has no URL", flows({"auth": "sas"})),
    ('config.flows[1].name: "a" is already the name', flows({**FLOW, "name": "a"}, {**FLOW, "name": "a"})),
    ("config.flows[0].url holds a signature", flows({"url": "https://contoso.example/x?a=1&Sig=abc"})),
    (
        "has its URL in several places (url, secrets)",
        {"secrets": {"flowUrls": {"flow": "https://contoso.example/?sig=x"}}},
    ),
    (
        'a URL for the flow "other", which is not in config.flows',
        {"secrets": {"flowUrls": {"other": "https://x/?sig=x"}}},
    ),
    ('config.routes[0].flow: there is no flow named "other"', {"config": {"routes": [{"flow": "other"}]}}),
    ("secrets.existingSecret and values in secrets", {"secrets": {"existingSecret": "mine"}}),
    (
        "secrets.adminTokenKey, secrets.doorSecretKey and secrets.flowUrlKeys name keys of a Secret of yours",
        {"secrets": {"adminTokenKey": "k"}},
    ),
    ("name keys of a Secret of yours", {"secrets": {"doorSecretKey": "k"}}),
    (
        "secrets.existingSecret and values in secrets",
        {"secrets": {"existingSecret": "mine", "connectionString": "", **DOOR["secrets"]}},
    ),
    ("secrets.doorSecret must be at least 32 printable ASCII characters", {"secrets": {"doorSecret": "x" * 31}}),
    (
        "config.worker.drain_s (150) must be less than config.worker.grace_s (150)",
        {"config": {"worker": {"drain_s": 150}}},
    ),
    ("config.worker.replicas and replicas_dns exclude", {"config": {"worker": {"replicas": 2, "replicas_dns": "w.x"}}}),
    ("maxUnavailable and minAvailable exclude", {"podDisruptionBudget": {"maxUnavailable": 1, "minAvailable": "50%"}}),
    (
        "needs a ServiceAccount that the federated credential names",
        over(WORKLOAD, {"serviceAccount": {"create": False}}),
    ),
    ("needs the identity's client id", over(WORKLOAD, {"config": {"identity": {"client_id": ""}}})),
    ("extraEnv sets FLOWBRIDGE_WORKER__GRACE_S", {"extraEnv": [{"name": "FLOWBRIDGE_WORKER__GRACE_S", "value": "9"}]}),
    ("autoscaling.keda.enabled and autoscaling.hpa.enabled exclude", over(KEDA, HPA)),
    (
        "autoscaling.minReplicas (4) is above autoscaling.maxReplicas (3)",
        autoscaled(KEDA, minReplicas=4, maxReplicas=3),
    ),
    ("autoscaling.minReplicas (11) is above autoscaling.maxReplicas (10)", autoscaled(HPA, minReplicas=11)),
    ("minReplicas is 0, which only KEDA can do", autoscaled(HPA, minReplicas=0)),
    ("KEDA counts messages, not the sessions", over(autoscaled(KEDA, minReplicas=0), bus(request_sessions=True))),
    ("nothing counts them: set fleet.enabled: true", over(KEDA, {"fleet": {"enabled": False}})),
    ("less than one call for each of 10 pods of 1 process(es)", over(KEDA, flows({**FLOW, "concurrency": 9}))),
    (
        "less than one call for each of 2 pods of 4 process(es)",
        over(flows({**FLOW, "concurrency": 7}), {"config": {"worker": {"processes": 4}}}),
    ),
    (
        "autoscaling.keda.prometheus needs serverAddress",
        {"autoscaling": {"keda": {"enabled": True, "prometheus": {"enabled": True}}}},
    ),
    (
        "paused and pausedReplicas exclude",
        {"autoscaling": {"keda": {"enabled": True, "paused": True, "pausedReplicas": 1}}},
    ),
    ("autoscaling.hpa has nothing to scale by", {"autoscaling": {"hpa": {"enabled": True, "cpuUtilization": None}}}),
    ("a percentage of resources.requests.cpu, which isn't set", over(HPA, {"resources": {"requests": {"cpu": None}}})),
    ("config.door.tenants is empty, and the door is reached by others", door(tenants=[])),
    ("config.door.audiences is empty", door(audiences=[])),
    ("config.door.callers is empty", door(callers=[])),
    ("config.door.replica is the chart's own", door(replica="door-0")),
    ("config.door.replicas is the chart's own", door(replicas=["door-0"])),
    ("config.door.peers is the chart's own", door(peers="http://{replica}:8081")),
    ("the door has no secret", over(DOOR, {"secrets": {"doorSecret": ""}})),
    (
        "the door has no secret",
        over(DOOR, {"secrets": {"existingSecret": "mine", "connectionString": "", "doorSecret": ""}}),
    ),
    ("config.door.secret would end up in a ConfigMap", door(secret="x" * 32)),
    ("config.door.secret_file is the chart's own", door(secret_file="/x")),
    ("config.door.port and config.http.port are both 8080", door(port=8080)),
    ("config.door.default_wait_s (111) is above config.door.max_wait_s (110)", door(default_wait_s=111)),
    ("the door is answered on one of them", over(DOOR, bus(reply_queues=[]))),
    ('config.door.reply_queue "other" is none of config.servicebus.reply_queues', door(reply_queue="other")),
    ('config.door.callers[1].name: "a" is already', door(callers=[{"name": "a", "roles": ["r"]}] * 2)),
    ("config.door.callers[0] (a) has neither ids nor roles", door(callers=[{"name": "a"}])),
    (
        'config.door.callers[0].flows: there is no flow named "other"',
        door(callers=[{"name": "a", "roles": ["r"], "flows": ["*", "other"]}]),
    ),
    ("set door.ingress.host", over(DOOR, {"door": {"ingress": {"enabled": True}}})),
    (
        "door.serviceAccount needs the identity's client id",
        over(
            over(DOOR, over(WORKLOAD, {"config": {"identity": {"client_id": ""}}})),
            {"door": {"serviceAccount": {"create": True}}},
        ),
    ),
    ("extraEnv sets FLOWBRIDGE_DOOR__REPLICA", {"extraEnv": [{"name": "FLOWBRIDGE_DOOR__REPLICA", "value": "a"}]}),
    ("config holds null in a list", flows({**FLOW, "body_template": {"a": [None]}})),
]


@pytest.mark.parametrize(("words", "values"), CONTRADICTIONS, ids=[words[:60] for words, _ in CONTRADICTIONS])
def test_a_contradiction_is_told(words: str, values: Values) -> None:
    with pytest.raises(Refused) as refused:
        of_values(values)
    assert words in str(refused.value).replace('\\"', '"')


def test_every_contradiction_is_told_at_once() -> None:
    with pytest.raises(Refused) as refused:
        of_values({"config": {"worker": {"drain_s": 151}, "flows": []}, "secrets": {"connectionString": ""}})
    told = str(refused.value)
    assert all(words in told for words in ("config.flows is empty", "drain_s (151)", "there is no connection string"))


WRONG: list[tuple[str, Values]] = [
    ("surprise", {"surprise": 1}),
    ("surprise", {"config": {"surprise": {}}}),
    ("surprise", {"config": {"worker": {"surprise": 1}}}),
    ("surprise", flows({**FLOW, "surprise": 1})),
    ("surprise", flows({**FLOW, "retry": {"surprise": 1}})),
    ("surprise", {"config": {"routes": [{"flow": "flow", "match": {"any": [{"surprise": 1}]}}]}}),
    ("surprise", {"image": {"surprise": 1}}),
    ("surprise", {"door": {"surprise": 1}}),
    ("surprise", door(surprise=1)),
    ("surprise", door(callers=[{"name": "a", "surprise": 1}])),
    ("name", door(callers=[{"roles": ["r"]}])),
    ("/config/door/tenants/0", door(tenants=["contoso"])),
    ("/config/door/remember_s", door(remember_s=599)),
    ("/config/door/authority", door(authority="login.example")),
    ("/door/replicaCount", {"door": {"replicaCount": 0}}),
    ("surprise", {"autoscaling": {"keda": {"fallback": {"surprise": 1}}}}),
    ("surprise", {"prometheusRule": {"thresholds": {"surprise": 1}}}),
    ("/config/worker/concurrency", {"config": {"worker": {"concurrency": 2.5}}}),
    ("/config/identity/cloud", {"config": {"identity": {"cloud": "moon"}}}),
    ("/config/http/port", {"config": {"http": {"port": 0}}}),
    ("/image/digest", {"image": {"digest": "latest"}}),
    ("/config/flows/0/polling_hosts", flows({**FLOW, "polling_hosts": ["https://x.example/y"]})),
    ("/config/flows/0/polling_hosts", flows({**FLOW, "polling_hosts": ["x.example:443"]})),
    ("/podDisruptionBudget/minAvailable", {"podDisruptionBudget": {"minAvailable": "half"}}),
    ("/prometheusRule/severities", {"prometheusRule": {"severities": {"FlowbridgeLoopLag": "panic"}}}),
]


@pytest.mark.parametrize(("place", "values"), WRONG, ids=[str(values)[:70] for _, values in WRONG])
def test_an_unknown_key_or_a_wrong_value_is_refused_by_the_schema(place: str, values: Values) -> None:
    with pytest.raises(Refused, match="schema") as refused:
        of_values(values)
    assert place in str(refused.value)


def test_the_bare_chart_says_what_it_lacks() -> None:
    with pytest.raises(Refused) as refused:
        run(tools.helm_4(), "template", RELEASE, CHART)
    assert "set config.servicebus.namespace" in str(refused.value)
    assert "config.flows is empty" in str(refused.value)
