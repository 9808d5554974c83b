"""Who decides how many pods there are, and by what."""

import tomllib
from typing import Any

import pytest
from chart.rendering import CI, Objects, of_file, of_values, over

KEDA: dict[str, Any] = {"autoscaling": {"keda": {"enabled": True}}}


def triggers(objects: Objects) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = objects.one("ScaledObject")["spec"]["triggers"]
    return found


@pytest.mark.parametrize("name", CI)
def test_one_alone_says_how_many_pods_there_are(name: str) -> None:
    objects = of_file(name)
    scalers = [*objects.of("ScaledObject"), *objects.of("HorizontalPodAutoscaler")]
    assert len(scalers) + ("replicas" in objects.one("Deployment")["spec"]) == 1
    for scaler in scalers:
        spec, keda = scaler["spec"], scaler["kind"] == "ScaledObject"
        assert spec["scaleTargetRef"]["name"] == objects.one("Deployment")["metadata"]["name"]
        least, most = (spec[f"{end}ReplicaCount" if keda else f"{end}Replicas"] for end in ("min", "max"))
        assert least <= most
        assert spec.get("fallback", {}).get("replicas", 1) <= most


@pytest.mark.parametrize("name", CI)
def test_every_trigger_has_its_authentication(name: str) -> None:
    objects = of_file(name)
    there = {each["metadata"]["name"] for each in objects.of("TriggerAuthentication")}
    secrets = {each["metadata"]["name"]: each["data"] for each in objects.of("Secret")}
    for scaled in objects.of("ScaledObject"):
        for trigger in scaled["spec"]["triggers"]:
            assert trigger["type"] != "azure-servicebus" or trigger["authenticationRef"]["name"] in there
    for authentication in objects.of("TriggerAuthentication"):
        assert len(authentication["spec"]) == 1
        for target in authentication["spec"].get("secretTargetRef", []):
            assert target["key"] in secrets[target["name"]]


@pytest.mark.parametrize("name", CI)
def test_keda_looks_where_the_worker_reads(name: str) -> None:
    objects = of_file(name)
    if not objects.of("ScaledObject"):
        return
    (text,) = (each["data"]["flowbridge.toml"] for each in objects.of("ConfigMap") if "flowbridge.toml" in each["data"])
    bus = tomllib.loads(text)["servicebus"]
    first = triggers(objects)[0]["metadata"]
    if "request_topic" in bus:
        assert (first["topicName"], first["subscriptionName"]) == (bus["request_topic"], bus["request_subscription"])
    else:
        assert first["queueName"] == bus["request_queue"]
    assert bus.get("namespace", "").startswith(first.get("namespace", ""))


@pytest.mark.parametrize(
    ("name", "cloud"),
    [
        ("workload-keda-values.yaml", {"namespace": "contoso"}),
        ("gcc-high-values.yaml", {"namespace": "contoso", "cloud": "AzureUSGovernmentCloud"}),
        ("china-values.yaml", {"namespace": "contoso", "cloud": "AzureChinaCloud"}),
        ("private-cloud-values.yaml", {"namespace": "bus", "cloud": "Private", "endpointSuffix": "contoso.internal"}),
        ("topic-retry-keda-values.yaml", {}),
    ],
)
def test_the_namespace_is_short_and_its_cloud_known(name: str, cloud: dict[str, str]) -> None:
    metadata = triggers(of_file(name))[0]["metadata"]
    assert {key: metadata[key] for key in ("namespace", "cloud", "endpointSuffix") if key in metadata} == cloud


def test_a_retry_queue_is_looked_at_too() -> None:
    first, second = triggers(of_file("topic-retry-keda-values.yaml"))
    assert first["metadata"]["topicName"] == "dataverse-events"
    assert second["metadata"] == {"queueName": "bridge-retries", "messageCount": "40", "activationMessageCount": "2"}


@pytest.mark.parametrize(
    ("concurrency", "processes", "flow_seconds", "messages"),
    [
        (200, 1, 10, "154"),  # the example of the project's README: 0.7 of what 20/s hold in 11 s
        (200, 1, 2, "210"),
        (200, 1, 0.1, "770"),  # one core binds: 1,000 requests a second
        (200, 2, 0.1, "1540"),
        (1, 1, 100, "1"),
    ],
)
def test_messages_for_a_pod_follow_from_what_it_holds(
    concurrency: int, processes: int, flow_seconds: float, messages: str
) -> None:
    worker = {"config": {"worker": {"concurrency": concurrency, "processes": processes}}}
    objects = of_values(over(over(KEDA, worker), {"autoscaling": {"keda": {"flowSeconds": flow_seconds}}}))
    assert triggers(objects)[0]["metadata"]["messageCount"] == messages


def test_kedas_identity_is_its_own() -> None:
    objects = of_file("gcc-high-values.yaml")
    identity = objects.one("TriggerAuthentication")["spec"]["podIdentity"]
    assert identity == {
        "provider": "azure-workload",
        "identityId": "33333333-3333-3333-3333-333333333333",
        "identityTenantId": "22222222-2222-2222-2222-222222222222",
        "identityAuthorityHost": "https://login.microsoftonline.us",
    }
    worker = objects.one("ServiceAccount")["metadata"]["annotations"]["azure.workload.identity/client-id"]
    assert worker != identity["identityId"]


def test_pods_go_one_by_one_each_with_the_time_to_drain() -> None:
    def behavior(objects: Objects) -> Any:
        return objects.one("ScaledObject")["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]

    down = behavior(of_file("workload-keda-values.yaml"))["scaleDown"]
    assert down["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 231}]  # grace_s is 230.5
    long = {"config": {"worker": {"drain_s": 3000, "grace_s": 3600}}}
    assert (
        behavior(of_values(over(KEDA, long)))["scaleDown"]["policies"][0]["periodSeconds"] == 1800
    )  # the most there is
    hpa = of_file("topic-sessions-hpa-values.yaml").one("HorizontalPodAutoscaler")["spec"]
    assert hpa["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 300


def test_scaling_can_be_paused() -> None:
    def notes(name: str) -> dict[str, str]:
        found: dict[str, str] = of_file(name).one("ScaledObject")["metadata"]["annotations"]
        return found

    assert notes("gcc-high-values.yaml") == {"autoscaling.keda.sh/paused": "true"}
    assert notes("topic-retry-keda-values.yaml") == {"autoscaling.keda.sh/paused-replicas": "0"}


def test_the_second_trigger_asks_for_the_slack_of_this_release() -> None:
    _, second, third = triggers(of_file("everything-values.yaml"))
    assert second["type"] == "prometheus"
    assert second["metadata"]["query"] == (
        'sum(max by (pod) (flowbridge_wait_used_ratio{namespace="flows",job="flows/bridge"}))'
    )
    assert second["metadata"]["authModes"] == "bearer"
    assert third["type"] == "cron"


def test_the_fallback_is_the_least_unless_said_otherwise() -> None:
    def fallback(name: str) -> Any:
        return of_file(name).one("ScaledObject")["spec"].get("fallback")

    assert fallback("workload-keda-values.yaml") == {
        "failureThreshold": 3,
        "replicas": 2,
        "behavior": "currentReplicasIfHigher",
    }
    assert fallback("topic-retry-keda-values.yaml") == {"failureThreshold": 3, "replicas": 3, "behavior": "static"}
    assert fallback("private-cloud-values.yaml") is None


def test_the_hpa_takes_cpu_slack_and_whatever_else_is_given() -> None:
    metrics = of_file("topic-sessions-hpa-values.yaml").one("HorizontalPodAutoscaler")["spec"]["metrics"]
    assert [metric["type"] for metric in metrics] == ["Resource", "Pods", "External"]
    assert metrics[1]["pods"]["metric"]["name"] == "flowbridge_wait_used_ratio"


def test_the_emulators_values_need_no_scaler_and_no_identity() -> None:
    objects = of_file("emulator-values.yaml")
    assert objects.one("Deployment")["spec"]["replicas"] == 1
    assert objects.worker["spec"]["initContainers"][0]["image"] == objects.container["image"]
