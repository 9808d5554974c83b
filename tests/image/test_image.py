"""The image, really built and run: `pytest -m image -n 0`, as root on a Debian with buildah, debootstrap and podman."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from .base import base_archive
from .containers import IMAGE, Store

pytestmark = [pytest.mark.image, pytest.mark.timeout(1200)]

BUILD_TOOLS = ("pip", "pip3", "gcc", "cc", "g++", "make", "ld", "git", "curl", "wget")
WAIT_UNTIL_READY = """
import time, urllib.request
while True:
    try:
        print(urllib.request.urlopen("http://127.0.0.2:8080/readyz").status)
        break
    except OSError:
        time.sleep(0.05)
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Store]:
    """One that holds the image."""
    store = Store(folder=tmp_path_factory.mktemp("store"))
    try:
        store.load_base(base_archive(pytestconfig.cache.mkdir("image")))
        store.build("--build-arg=REVISION=abc123", f"--tag={IMAGE}")
        yield store
    finally:
        store.remove()


def test_the_demo_runs_confined(store: Store) -> None:
    demo = store.run("demo")
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "answers were as expected" in demo.stdout


def test_it_says_its_version(store: Store) -> None:
    told = store.run("--version")
    assert (told.returncode, told.stdout) == (0, f"flowbridge {_label(store, 'version')}\n")


def test_without_settings_it_says_what_it_needs(store: Store) -> None:
    ran, checked = store.run(), store.run("check")
    assert (ran.returncode, checked.returncode) == (2, 1)
    assert "Set servicebus.namespace" in ran.stderr
    assert "Set servicebus.namespace" in checked.stdout
    assert "Traceback" not in ran.stderr + checked.stderr


def test_a_settings_file_that_is_not_there_is_named(store: Store) -> None:
    ran = store.run(options=["--env=FLOWBRIDGE_CONFIG=/etc/flowbridge.toml"])
    assert ran.returncode == 2
    assert "/etc/flowbridge.toml: can't be read" in ran.stderr


@pytest.mark.parametrize("processes", [1, 2])
def test_the_worker_serves_all_addresses_and_drains_on_sigterm(store: Store, processes: int) -> None:
    settings = {
        "SERVICEBUS__CONNECTION_STRING": "Endpoint=sb://127.0.0.1:5672;SharedAccessKeyName=a;SharedAccessKey=b;"
        "UseDevelopmentEmulator=true;",
        "FLOWS__0__URL": "http://127.0.0.1:1/",
        "FLOWS__0__AUTH": "none",
        "WORKER__PROCESSES": f"{processes}",
    }
    options = [f"--env=FLOWBRIDGE_{key}={value}" for key, value in settings.items()]
    queues = ("--queue=flow-requests", "--queue=flow-replies:session")
    with (
        store.started("broker", "emulator", "--port=5672", *queues),
        store.started("worker", network="--network=container:broker", options=options),
    ):
        assert store.python("worker", WAIT_UNTIL_READY) == "200\n"
        assert store.stop("worker") == 0


def test_it_is_nobody_without_rights(store: Store) -> None:
    assert store.inspect("{{.Config.User}}") == "65532:65532"
    assert store.shell("id -u; id -g; grep CapEff /proc/self/status").split() == ["65532"] * 2 + ["CapEff:", "0" * 16]


def test_what_it_runs_belongs_to_root_and_is_compiled(store: Store) -> None:
    assert store.shell("find /app ! -user 0 -o ! -group 0 -o ! -type l -perm /022") == ""
    uncompiled = """
import importlib.util, json, os, sys
import worker.app, worker.cli.commands
files = [module.__file__ for module in list(sys.modules.values()) if getattr(module, "__file__", None)]
sources = [file for file in files if file.endswith(".py")]
print(json.dumps([file for file in sources if not os.path.exists(importlib.util.cache_from_source(file))]))
"""
    assert json.loads(store.shell(f"python -c '{uncompiled}'")) == []


def test_nothing_can_be_installed_or_built_in_it(store: Store) -> None:
    assert store.shell(f"command -v {' '.join(BUILD_TOOLS)} || true") == ""
    assert (
        store.shell("python -c 'import pip' 2>&1 || python -c 'import ensurepip' 2>&1 || true").count("No module") == 2
    )


def test_its_labels_say_what_it_is(store: Store) -> None:
    assert _label(store, "title") == "flowbridge"
    assert _label(store, "licenses") == "MIT"
    assert _label(store, "revision") == "abc123"


def test_its_bill_of_materials_lists_all_of_it(store: Store, tmp_path: Path) -> None:
    store.build("--target=bill-of-materials", f"--output=type=local,dest={tmp_path}")
    bill = json.loads((tmp_path / "flowbridge.cdx.json").read_bytes())
    listed = {component["purl"].partition("@")[0]: component["version"] for component in bill["components"]}
    assert {"pkg:pypi/aiohttp", "pkg:generic/python", "pkg:deb/debian/libc6"} <= set(listed)
    installed = "import importlib.metadata as m, json; print(json.dumps([d.name for d in m.distributions()]))"
    packages = json.loads(store.shell(f"/app/bin/python -c '{installed}'"))
    assert {f"pkg:pypi/{name.lower().replace('_', '-')}" for name in packages} - set(listed) == {"pkg:pypi/flowbridge"}
    assert bill["metadata"]["component"]["name"] == "flowbridge"


def _label(store: Store, name: str) -> str:
    return store.inspect(f'{{{{index .Config.Labels "org.opencontainers.image.{name}"}}}}')
