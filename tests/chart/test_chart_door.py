"""The door's own objects."""

from typing import Any

from chart.rendering import DOOR, NAMESPACE, container_of, of_file, of_values, over


def test_without_it_there_is_nothing_of_it() -> None:
    everything = {"networkPolicy": {"enabled": True}, "podMonitor": {"enabled": True}}
    objects = of_values({**everything, "door": {"ingress": {"enabled": True, "host": "flows.contoso.example"}}})
    assert [each["metadata"]["name"] for each in objects.all if "door" in each["metadata"]["name"]] == []
    assert objects.doors == []


def test_its_pods_are_named_by_number_and_replaced_one_by_one() -> None:
    objects = of_values(DOOR)
    spec = objects.one("StatefulSet")["spec"]
    assert spec["replicas"] == 2
    assert spec["podManagementPolicy"] == "Parallel"
    assert spec["updateStrategy"] == {"type": "RollingUpdate"}
    container = container_of(objects.doors[0])
    assert (container["command"], container["args"]) == (["flowbridge"], ["door"])


def test_peers_find_each_other_also_while_unready_and_callers_only_who_is_ready() -> None:
    objects = of_values(DOOR)
    peers, callers = objects.one("Service", "-door-peers"), objects.one("Service", "-door")
    assert objects.one("StatefulSet")["spec"]["serviceName"] == peers["metadata"]["name"]
    assert peers["spec"]["clusterIP"] == "None"
    assert peers["spec"]["publishNotReadyAddresses"] is True
    assert callers["spec"]["type"] == "ClusterIP"
    assert "publishNotReadyAddresses" not in callers["spec"]
    assert {port["targetPort"] for each in (peers, callers) for port in each["spec"]["ports"]} == {"door"}


def test_the_ingress_leads_to_the_doors_service_and_shows_no_more_than_is_for_callers() -> None:
    objects = of_file("door-values.yaml")
    ingress = objects.one("Ingress")["spec"]
    assert ingress["tls"] == [{"hosts": ["flows.contoso.example"], "secretName": "flows-tls"}]
    (rule,) = ingress["rules"]
    assert [path["path"] for path in rule["http"]["paths"]] == ["/v1/", "/openapi.json"]
    service = objects.one("Service", "-door")
    for path in rule["http"]["paths"]:
        backend = path["backend"]["service"]
        assert backend["name"] == service["metadata"]["name"]
        assert backend["port"]["name"] in {port["name"] for port in service["spec"]["ports"]}


def test_it_shares_the_workers_account_or_has_its_own() -> None:
    def account(values: dict[str, Any]) -> Any:
        return of_values(over(DOOR, {"door": values})).doors[0]["spec"]["serviceAccountName"]

    assert account({}) == "bridge-flowbridge"
    assert account({"serviceAccount": {"create": True}}) == "bridge-flowbridge-door"
    assert account({"serviceAccount": {"create": True, "name": "asker"}}) == "asker"
    assert account({"serviceAccount": {"name": "given"}}) == "given"
    own = of_file("door-values.yaml").one("ServiceAccount", "-door")["metadata"]
    assert own["annotations"]["azure.workload.identity/client-id"] == "55555555-5555-5555-5555-555555555555"


def test_the_network_policy_lets_callers_and_peers_in_and_peers_out() -> None:
    policy = of_file("door-values.yaml").one("NetworkPolicy", "-door")["spec"]
    (into,), (out,) = policy["ingress"], policy["egress"]
    assert into["ports"] == out["ports"] == [{"port": 8081, "protocol": "TCP"}]
    doors = {"podSelector": policy["podSelector"]}
    assert into["from"][1:] == out["to"] == [doors]
    everywhere = of_values(over(DOOR, {"networkPolicy": {"enabled": True}})).one("NetworkPolicy", "-door")["spec"]
    assert "from" not in everywhere["ingress"][0]


def test_each_has_a_monitor_whose_series_are_known_apart() -> None:
    monitors = of_file("door-values.yaml").of("PodMonitor")
    assert [each["metadata"]["name"] for each in monitors] == ["bridge-flowbridge", "bridge-flowbridge-door"]
    assert all(each["metadata"]["namespace"] == NAMESPACE for each in monitors)
