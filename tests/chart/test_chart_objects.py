"""What no schema sees: whether what names something else names what is there."""

import re
from typing import Any

import pytest
from chart.rendering import CI, DOOR, NAMESPACE, Object, Objects, container_of, of_file, of_values, over

CLUSTER_MAKES = {"bridge-secrets", "private-ca", "proxy", "registry", "prometheus"}  # what the values name as given
every_file = pytest.mark.parametrize("name", CI)


def pods_of(objects: Objects) -> list[Object]:
    return [objects.worker, *objects.doors, *objects.of("Pod")]


def is_picked(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())


@every_file
def test_selectors_pick_the_workers_or_the_doors_and_not_the_test(name: str) -> None:
    objects = of_file(name)
    kinds = ("Deployment", "StatefulSet", "Service", "PodDisruptionBudget", "PodMonitor")
    for each in (each for kind in kinds for each in objects.of(kind)):
        selector = each["spec"]["selector"]
        wanted = "door" if "-door" in each["metadata"]["name"] else "worker"
        assert picked(objects, selector.get("matchLabels", selector)) == [wanted]
    for pod in (objects.worker, *objects.doors):
        for spread in pod["spec"].get("topologySpreadConstraints", []):
            own = pod["metadata"]["labels"]["app.kubernetes.io/component"]
            assert picked(objects, spread["labelSelector"]["matchLabels"]) == [own]


def picked(objects: Objects, selector: dict[str, Any]) -> list[str]:
    labels = [pod["metadata"]["labels"] for pod in pods_of(objects)]
    return [each["app.kubernetes.io/component"] for each in labels if is_picked(selector, each)]


@every_file
def test_the_network_policy_is_for_door_and_test_too(name: str) -> None:
    objects = of_file(name)
    for policy in objects.of("NetworkPolicy"):
        is_doors = policy["metadata"]["name"].endswith("-door")
        wanted = objects.doors if is_doors else pods_of(objects)
        assert len(picked(objects, policy["spec"]["podSelector"]["matchLabels"])) == len(wanted)


@every_file
def test_everything_that_a_pod_names_exists(name: str) -> None:
    objects = of_file(name)
    there = {(kind, each["metadata"]["name"]) for kind in ("ConfigMap", "Secret") for each in objects.of(kind)}
    for pod in pods_of(objects):
        volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        wanted = [("ConfigMap", each["configMap"]["name"]) for each in volumes.values() if "configMap" in each]
        wanted += [("Secret", each["secret"]["secretName"]) for each in volumes.values() if "secret" in each]
        assert {each for each in wanted if each[1] not in CLUSTER_MAKES} <= there
        for container in pod["spec"]["containers"]:
            mounts = container.get("volumeMounts", [])
            assert {mount["name"] for mount in mounts} <= set(volumes)
            assert len({mount["mountPath"] for mount in mounts}) == len(mounts)
        account = pod["spec"]["serviceAccountName"]
        assert account in {each["metadata"]["name"] for each in objects.of("ServiceAccount")} or account == "bridge"


@every_file
def test_every_key_that_is_mounted_is_in_its_object(name: str) -> None:
    objects = of_file(name)
    held = {
        (each["kind"], each["metadata"]["name"]): set(each["data"])
        for each in (*objects.of("ConfigMap"), *objects.of("Secret"))
    }
    for pod in pods_of(objects):
        for volume in pod["spec"]["volumes"]:
            for kind, key, part in (("ConfigMap", "name", "configMap"), ("Secret", "secretName", "secret")):
                source = volume.get(part, {})
                keys = held.get((kind, source.get(key)))
                assert keys is None or {item["key"] for item in source.get("items", [])} <= keys


@every_file
def test_every_port_that_is_named_exists_and_is_the_configured_one(name: str) -> None:
    objects = of_file(name)
    ports: dict[str, int] = {}
    for container in (container_of(pod) for pod in (objects.worker, *objects.doors)):
        ports |= {port["name"]: port["containerPort"] for port in container["ports"]}
        probes = [container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")]
        assert [probe["path"] for probe in probes] == ["/livez", "/livez", "/readyz"]
        assert {probe["port"] for probe in probes} == {"http"}
    monitored = [end["port"] for each in objects.of("PodMonitor") for end in each["spec"]["podMetricsEndpoints"]]
    served = [port["targetPort"] for each in objects.of("Service") for port in each["spec"]["ports"]]
    assert {*monitored, *served} <= set(ports)
    assert set(monitored) <= {"http"}
    admitted = {port["port"] for each in objects.of("NetworkPolicy") for port in each["spec"]["ingress"][0]["ports"]}
    assert admitted <= set(ports.values())


@every_file
def test_worker_door_and_test_are_hardened_alike(name: str) -> None:
    objects = of_file(name)
    for pod in pods_of(objects):
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == spec["securityContext"]["runAsGroup"] == 65532
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        ours = next(each for each in spec["containers"] if each["name"] in {"flowbridge", "check"})
        assert ours["securityContext"]["readOnlyRootFilesystem"] is True
        assert ours["securityContext"]["allowPrivilegeEscalation"] is False
        assert ours["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in ours["resources"]["limits"]
        assert next(each for each in spec["volumes"] if each["name"] == "tmp")["emptyDir"]["sizeLimit"]


@every_file
def test_a_disruption_budget_says_one_thing(name: str) -> None:
    for budget in of_file(name).of("PodDisruptionBudget"):
        assert len({"maxUnavailable", "minAvailable"} & set(budget["spec"])) == 1


@every_file
def test_workload_identity_is_on_both_sides_or_on_neither(name: str) -> None:
    objects = of_file(name)
    is_workload = (
        'kind = "workload"'
        in objects.one("ConfigMap", objects.one("Deployment")["metadata"]["name"])["data"]["flowbridge.toml"]
    )
    for pod in pods_of(objects):
        assert (pod["metadata"]["labels"].get("azure.workload.identity/use") == "true") is is_workload
    for account in objects.of("ServiceAccount"):
        assert ("azure.workload.identity/client-id" in account["metadata"].get("annotations", {})) is is_workload


@every_file
def test_secrets_are_in_secrets_alone(name: str) -> None:
    rest = repr([each for each in of_file(name).all if each["kind"] != "Secret"])
    assert not re.search(r"SharedAccessKey=|sig=|correct-horse", rest)


def test_the_tests_pod_checks_and_is_a_hook() -> None:
    objects = of_file("everything-values.yaml")
    pod = objects.one("Pod")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert pod["spec"]["containers"][0]["command"] == ["flowbridge"]
    assert pod["spec"]["containers"][0]["args"] == ["check", "--round-trip"]
    assert of_values({"tests": {"enabled": False}}).of("Pod") == []


def test_a_changed_setting_or_secret_rolls_the_pods_and_nothing_else_does() -> None:
    def checksums(values: dict[str, Any]) -> tuple[str, str]:
        notes = of_values(values).worker["metadata"]["annotations"]
        return notes["checksum/config"], notes["checksum/secret"]

    config, secret = checksums({})
    assert checksums({"replicaCount": 7}) == (config, secret)
    assert checksums({"config": {"worker": {"concurrency": 7}}})[0] != config
    assert checksums({"configFiles": {"a.json": "{}"}})[0] != config
    other = "Endpoint=sb://other.servicebus.windows.net/;SharedAccessKeyName=worker;SharedAccessKey=b3RoZXI="
    assert checksums({"secrets": {"connectionString": other}}) != (config, secret)


def test_a_setting_of_the_door_rolls_the_doors_alone() -> None:
    def checksums(values: dict[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
        objects = of_values(over(DOOR, values))
        worker, door = (pod["metadata"]["annotations"] for pod in (objects.worker, *objects.doors))
        return worker, door

    worker, door = checksums({})
    assert worker == of_values({}).worker["metadata"]["annotations"]
    same, other = checksums({"config": {"door": {"max_waiting": 7}}})
    assert same == worker
    assert other != door
    assert checksums({"door": {"replicaCount": 7}})[1] != door  # each knows all
    same, other = checksums({"secrets": {"doorSecret": "x" * 32}})
    assert same == worker
    assert other != door
    assert checksums({"config": {"worker": {"concurrency": 7}}})[1] != door


def test_the_fleets_service_has_an_address_for_each_worker_ready_or_not() -> None:
    objects = of_values({})
    service = objects.one("Service")
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True
    wanted = f"{service['metadata']['name']}.{NAMESPACE}.svc.cluster.local"
    assert f'replicas_dns = "{wanted}"' in objects.one("ConfigMap")["data"]["flowbridge.toml"]


def test_without_the_fleets_service_the_worker_is_told_how_many_there_are() -> None:
    objects = of_values({"fleet": {"enabled": False}, "replicaCount": 3})
    assert objects.of("Service") == []
    assert "replicas = 3" in objects.one("ConfigMap")["data"]["flowbridge.toml"]


def test_the_network_policy_opens_what_the_settings_need() -> None:
    def ports(name: str) -> set[int]:
        policies = of_file(name).of("NetworkPolicy")
        (rules,) = (each["spec"]["egress"] for each in policies if not each["metadata"]["name"].endswith("-door"))
        return {port["port"] for rule in rules for port in rule["ports"]}

    assert ports("china-values.yaml") == {53, 80, 443, 5671}
    assert ports("private-cloud-values.yaml") == {53, 80, 443, 5671, 5673}
    assert ports("everything-values.yaml") == {53, 443, 4318, 5671}


@pytest.mark.parametrize("name", [name for name in CI if name != "everything-values.yaml"])
def test_two_releases_in_a_namespace_have_no_name_in_common(name: str) -> None:
    def names(release: str) -> set[tuple[str, str, str]]:
        objects = of_file(name, release).all
        return {(each["kind"], each["metadata"]["namespace"], each["metadata"]["name"]) for each in objects}

    assert not names("one") & names("two")


def test_a_name_that_is_too_long_is_cut_and_stays_apart_from_its_neighbour() -> None:
    stem = "a-release-whose-name-is-as-long-as-helm-permits-them"
    watched = {"podMonitor": {"enabled": True}, "dashboard": {"enabled": True, "namespace": "monitoring"}}
    everything = over(DOOR, watched)
    one, two = (of_values(everything, f"{stem}{end}") for end in "xy")
    for objects in (one, two):
        assert all(len(each["metadata"]["name"]) <= 63 for each in objects.all)
        assert len(objects.one("StatefulSet")["metadata"]["name"]) <= 52  # a label is it and ten characters more
        assert all(len(label) <= 63 for each in objects.all for label in each["metadata"]["labels"].values())
        assert len(objects.one("Deployment")["metadata"]["name"]) <= 54  # KEDA's HPA is keda-hpa-NAME
    assert one.one("Deployment")["metadata"]["name"] != two.one("Deployment")["metadata"]["name"]


def test_templates_in_extra_values_are_filled_in() -> None:
    objects = of_file("everything-values.yaml")
    assert objects.one("ConfigMap", "-extra")["data"] == {"where": NAMESPACE}
    assert objects.one("ConfigMap", "bridge-text")
    assert objects.worker["metadata"]["labels"]["release"] == "bridge"
