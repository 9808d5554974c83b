"""The TOML that the chart writes, by the worker's own loader; the chart's schema, by the worker's own model."""

import base64
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from chart.rendering import CHART, CI, DOOR, Object, Objects, container_of, of_file, of_values, over
from pydantic import BaseModel

from worker.settings import Settings, load
from worker.settings.model import DoorSettings, MatchSettings
from worker.settings.problems import bare, fields_of

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SECTIONS = [name for name in fields_of(Settings) if name not in {"flows", "routes"}]
GIVEN = {  # what is in a Secret that the chart doesn't make
    "bus": "Endpoint=sb://contoso.servicebus.windows.net/;SharedAccessKeyName=worker;SharedAccessKey=c2VjcmV0",
    "door": "another-correct-horse-battery-staple",
    "account-url": "https://contoso.example/paths/invoke?api-version=1&sig=c2VjcmV0",
}


def toml_of(objects: Objects, pod: Object | None = None) -> str:
    (key,) = mounted(pod or objects.worker, "config")
    (text,) = (each["data"][key] for each in objects.of("ConfigMap") if key in each["data"])
    return str(text)


def mounted(pod: Object, volume: str) -> set[str]:
    """The keys that the pod has as files."""
    found = (each for each in pod["spec"]["volumes"] if each["name"] == volume)
    return {item["key"] for each in found for item in (each.get("secret") or each["configMap"])["items"]}


def settings_of(objects: Objects, folder: Path, pod: Object | None = None) -> Settings:
    """As in the pod (the worker's, unless another is given): with what is mounted there, under another root."""
    pod = pod or objects.worker
    for source in ("secrets", "files"):
        (folder / source).mkdir(exist_ok=True)
    secrets = {
        key: base64.b64decode(text).decode() for each in objects.of("Secret") for key, text in each["data"].items()
    }
    for key in mounted(pod, "secrets"):
        (folder / "secrets" / key).write_text({**GIVEN, **secrets}[key])
    for each in objects.of("ConfigMap"):
        if each["metadata"]["name"].endswith("-files"):
            for key, text in each["data"].items():
                (folder / "files" / key).write_text(text)
    path = folder / "flowbridge.toml"
    path.write_text(toml_of(objects, pod).replace("/etc/flowbridge", str(folder)))
    container = container_of(pod)
    environment = {each["name"]: each["value"] for each in container["env"] if "value" in each}
    return load(path, environment)


@pytest.mark.parametrize("name", CI)
def test_the_worker_takes_the_settings_that_are_rendered(name: str, tmp_path: Path) -> None:
    objects = of_file(name)
    settings = settings_of(objects, tmp_path)
    pod = objects.worker["spec"]
    assert pod["terminationGracePeriodSeconds"] >= settings.worker.grace_s > settings.worker.drain_s
    assert pod["terminationGracePeriodSeconds"] - settings.worker.grace_s < 1
    assert objects.container["ports"][0]["containerPort"] == settings.http.port
    assert settings.http.host == "0.0.0.0"
    assert all(flow.url is not None for flow in settings.flows)


def test_the_door_takes_them_too_and_each_pod_knows_the_others(tmp_path: Path) -> None:
    objects = of_file("door-values.yaml")
    (pod,), (stateful,) = objects.doors, objects.of("StatefulSet")
    settings = settings_of(objects, tmp_path, pod)
    door, name, spec = settings.door, stateful["metadata"]["name"], stateful["spec"]
    assert door.host == "0.0.0.0"
    assert door.replica is None  # the pod's host name
    assert door.replicas == tuple(f"{name}-{number}" for number in range(spec["replicas"]))
    assert door.peers == f"http://{{replica}}.{spec['serviceName']}.flows.svc.cluster.local:{door.port}"
    assert pod["spec"]["terminationGracePeriodSeconds"] >= door.drain_s + 20
    assert {port["name"]: port["containerPort"] for port in container_of(pod)["ports"]} == {
        "http": settings.http.port,
        "door": door.port,
    }
    assert [caller.name for caller in door.callers] == ["plug-in", "erp"]
    assert door.callers[0].rate_per_s == 12.5
    assert settings.identity.client_id != settings_of(objects, tmp_path).identity.client_id


def door_of(objects: Objects, folder: Path) -> DoorSettings:
    return settings_of(objects, folder, *objects.doors).door


def test_the_doors_secret_is_the_charts_or_yours_or_a_file_of_yours(tmp_path: Path) -> None:
    def secret(values: dict[str, Any], name: str) -> str | None:
        (folder := tmp_path / name).mkdir()
        found = door_of(of_values(over(DOOR, values)), folder).secret
        return None if found is None else found.get_secret_value()

    assert secret({}, "made") == DOOR["secrets"]["doorSecret"]
    yours = {"existingSecret": "mine", "connectionStringKey": "bus", "connectionString": "", "doorSecret": ""}
    assert secret({"secrets": {**yours, "doorSecretKey": "door"}}, "given") == GIVEN["door"]
    (file := tmp_path / "door").write_text(GIVEN["door"])
    itself = {"secrets": {"doorSecret": ""}, "config": {"door": {"secret_file": str(file)}}}
    assert secret(itself, "mounted otherwise") == GIVEN["door"]


def test_the_doors_alone_have_its_secret_and_know_of_it() -> None:
    bus = {"servicebus": {"namespace": "contoso.servicebus.windows.net"}}
    objects = of_values(over(DOOR, {"secrets": {"connectionString": ""}, "config": bus}))
    assert objects.one("Secret")["data"].keys() == {"door-secret"}
    for pod in objects.doors:
        assert mounted(pod, "secrets") == {"door-secret"}
    for pod in (objects.worker, objects.one("Pod")):
        (container,) = pod["spec"]["containers"]
        assert "secrets" not in {each["name"] for each in (*pod["spec"]["volumes"], *container["volumeMounts"])}
        assert "door" not in tomllib.loads(toml_of(objects, pod))


def test_without_a_door_nothing_is_said_of_one() -> None:
    objects = of_values({"secrets": DOOR["secrets"]})
    assert "door" not in tomllib.loads(toml_of(objects))
    assert "door-secret" not in objects.one("Secret")["data"]
    assert [key for each in objects.of("ConfigMap") for key in each["data"]] == ["flowbridge.toml"]


def test_the_doors_defaults_are_whole(tmp_path: Path) -> None:
    door = door_of(of_values(DOOR), tmp_path)
    filled_in = {"host", "replicas", "peers", "secret", "secret_file"}
    plain = DoorSettings().model_dump(exclude={*filled_in, *DOOR["config"]["door"]})
    assert {key: getattr(door, key) for key in plain} == plain


def test_another_port_is_the_peers_too(tmp_path: Path) -> None:
    values = over(over(DOOR, {"config": {"door": {"port": 9443}}}), {"clusterDomain": "k8s.example"})
    peers = door_of(of_values(values), tmp_path).peers
    assert peers == "http://{replica}.bridge-flowbridge-door-peers.flows.svc.k8s.example:9443"


def test_each_flow_has_its_own_url_and_the_admin_its_token(tmp_path: Path) -> None:
    settings = settings_of(of_file("everything-values.yaml"), tmp_path)
    urls = {flow.name: flow.url.get_secret_value() for flow in settings.flows if flow.url}
    assert "sig=" not in urls["credit-check"]
    assert "sig=" in urls["Größe/2 %"]
    assert settings.http.token == "correct-horse-battery-staple"


def test_with_a_topic_no_queue_is_named(tmp_path: Path) -> None:
    settings = settings_of(of_file("topic-sessions-hpa-values.yaml"), tmp_path)
    assert settings.servicebus.request_topic == "dataverse-events"
    assert "request_queue" not in settings.servicebus.model_fields_set
    assert settings.servicebus.connection_string is not None
    assert [route.flow for route in settings.routes] == ["on account", "lookup"]


def test_what_a_value_says_is_what_toml_says() -> None:
    template: dict[str, Any] = {
        "text": '"quoted" \\ back\nnew\ttab <a & b> \' ü 😀 \u2028 {{ .Release.Name }} ${x}',
        "delete": "\x7f",
        "numbers": [0, -1, 1, 1.5, 0.1, 1e-7, 10485760, 9007199254740991, -2.25],
        "nested": {"a b": {"": [[], {}, [{"deep": True}]]}, "false": False},
        "# key": "1979-05-27",
    }
    flows = [{"url": "https://contoso.example/x", "body_template": template, "max_response_bytes": 10485760}]
    rendered = tomllib.loads(toml_of(of_values({"config": {"flows": flows}})))
    assert rendered["flows"][0]["body_template"] == template
    assert isinstance(rendered["flows"][0]["max_response_bytes"], int)
    assert isinstance(rendered["worker"]["concurrency"], int)


def test_the_schema_has_the_keys_of_the_workers_settings_and_no_others() -> None:
    config, definitions = SCHEMA["properties"]["config"]["properties"], SCHEMA["definitions"]
    for section in SECTIONS:
        assert set(config[section]["properties"]) == set(fields_of(table(Settings, section))), section
    flow = table(Settings, "flows")
    assert set(definitions["flow"]["properties"]) == set(fields_of(flow))
    for inner in ("retry", "breaker"):
        assert set(definitions["flow"]["properties"][inner]["properties"]) == set(fields_of(table(flow, inner)))
    assert set(definitions["caller"]["properties"]) == set(fields_of(table(DoorSettings, "callers")))
    assert set(definitions["match"]["properties"]) == set(fields_of(MatchSettings))
    assert set(config["routes"]["items"]["properties"]) == set(fields_of(table(Settings, "routes")))


def table(of: type[BaseModel], key: str) -> type[BaseModel]:
    """Also where there is a list of them."""
    kind = bare(fields_of(of)[key].annotation)
    found: type[BaseModel] = getattr(kind, "__args__", (kind,))[0]
    return found


def test_the_charts_defaults_are_the_workers() -> None:
    defaults = Settings().model_dump(mode="json")
    for section in SECTIONS:
        for key, value in VALUES["config"][section].items():
            if (section, key) in {("http", "host"), ("door", "host")}:
                assert value == "0.0.0.0"  # a pod is reached from outside
            elif (section, key) != ("worker", "replicas"):
                assert value == (defaults[section][key] or value), f"{section}.{key}"


def test_every_table_of_the_schema_is_closed() -> None:
    assert [place for place, table in tables("", SCHEMA) if table.get("additionalProperties") is not False] == []


def tables(place: str, schema: Any) -> list[tuple[str, dict[str, Any]]]:
    """Those that name keys, but for Kubernetes' own."""
    if isinstance(schema, list):
        return [each for part in schema for each in tables(place, part)]
    if not isinstance(schema, dict):
        return []
    own = (
        [(place, schema)] if isinstance(schema.get("properties"), dict) and not place.endswith("extraEnv/items") else []
    )
    return own + [each for key, part in schema.items() for each in tables(f"{place}/{key}", part)]
