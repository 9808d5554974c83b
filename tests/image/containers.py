"""Builds the image and runs containers of it, apart from whatever else the machine has of either."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
BASE = "localhost/base:test"
IMAGE = "localhost/flowbridge:test"
ALONE = "--network=none"  # but for loopback
CONFINED = (
    *("--read-only", "--read-only-tmpfs=false", "--cap-drop=ALL", "--security-opt=no-new-privileges"),
    *("--ulimit=nofile=1024:1024", "--ulimit=nproc=4096:4096"),  # the defaults may be above what is left to us
)
PIPS_OWN = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout")


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Where images and containers are kept: a folder of its own, so that all of it can go."""

    folder: Path

    def load_base(self, archive: Path) -> None:
        self._checked("import", "--quiet", str(archive), BASE)

    def build(self, *options: str) -> None:
        secrets = [f"--secret=id={name},src={file}" for name, file in _pips_settings(self.folder).items()]
        command = ["buildah", *self._places, "build", "--isolation=chroot", "--layers", f"--build-arg=BASE={BASE}"]
        built = subprocess.run([*command, *secrets, *options, ROOT], capture_output=True, text=True, check=False)
        assert built.returncode == 0, built.stdout[-3000:] + built.stderr[-3000:]

    def run(self, *words: str, options: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        """A confined container until it ends. `words`: the command line after `flowbridge`."""
        return self._podman("run", "--rm", ALONE, *CONFINED, *options, IMAGE, *words)

    def shell(self, script: str) -> str:
        """What a script says in such a container."""
        return self._checked("run", "--rm", ALONE, *CONFINED, "--entrypoint=sh", IMAGE, "-c", script)

    @contextmanager
    def started(self, name: str, *words: str, network: str = ALONE, options: Sequence[str] = ()) -> Iterator[None]:
        self._checked("run", "--detach", f"--name={name}", network, *CONFINED, *options, IMAGE, *words)
        try:
            yield
        finally:
            self._checked("rm", "--force", "--time=0", name)

    def python(self, name: str, script: str) -> str:
        """What a script says in a container that runs."""
        return self._checked("exec", name, "python", "-c", script)

    def stop(self, name: str) -> int:
        """SIGTERM, and after a minute SIGKILL; the exit status."""
        self._checked("stop", "--time=60", name)
        return int(self._checked("inspect", "--format={{.State.ExitCode}}", name))

    def inspect(self, template: str) -> str:
        return self._checked("image", "inspect", f"--format={template}", IMAGE).strip()

    def remove(self) -> None:
        self._podman("rm", "--all", "--force", "--time=0")
        self._podman("rmi", "--all", "--force")
        shutil.rmtree(self.folder)

    def _podman(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = ["podman", *self._places, "--cgroup-manager=cgroupfs", "--runtime=runc", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def _checked(self, *words: str) -> str:
        done = self._podman(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def _places(self) -> tuple[str, ...]:
        return f"--root={self.folder / 'root'}", f"--runroot={self.folder / 'run'}"


def _pips_settings(folder: Path) -> dict[str, Path]:
    """The index that this machine uses, for the build: secrets and their files."""
    told = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], stdout=subprocess.PIPE, text=True, check=True
    )
    settings = dict(re.findall(r"^[^.=]*\.([a-z-]+)='(.*)'$", told.stdout, flags=re.MULTILINE))
    kept = {name: value for name, value in settings.items() if name in PIPS_OWN and "file:" not in value}
    secrets = {"pip": folder / "pip.conf"}
    if "cert" in settings:
        secrets["pip-ca"] = Path(settings["cert"])
        kept["cert"] = "/etc/pip-ca.pem"
    secrets["pip"].write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in kept.items()))
    return secrets
