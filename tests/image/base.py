"""A base like python:3.13-slim, made of Debian's packages: the image can be built where no registry of images is."""

import subprocess
import tarfile
import zipfile
from pathlib import Path

SUITE = "trixie"  # what the Dockerfile's own base is; its Python is a 3.13, too


def base_archive(folder: Path) -> Path:
    """The base's file tree as a tar file, made once for each `folder`. Needs root, debootstrap and apt's settings."""
    archive = folder / f"python-slim-{SUITE}.tar"
    if not archive.exists():
        tree = folder / "tree"
        _install(tree)
        _shape(tree)
        unfinished = archive.with_suffix(".part")
        with tarfile.open(unfinished, "w") as tar:
            tar.add(tree, arcname=".", filter=_without_leftovers)
        unfinished.rename(archive)
        subprocess.run(["rm", "-rf", "--one-file-system", tree], check=True)
    return archive


def _install(tree: Path) -> None:
    subprocess.run(["rm", "-rf", "--one-file-system", tree], check=True)  # of a run that was interrupted
    packages = "ca-certificates,python3,python3-venv"
    log = tree.with_suffix(".log")
    with log.open("wb") as told:
        command = ["debootstrap", "--variant=minbase", f"--include={packages}", SUITE, str(tree), _mirror()]
        made = subprocess.run(command, stdout=told, stderr=told, check=False)
    assert made.returncode == 0, log.read_text()[-2000:]


def _mirror() -> str:
    """Where this machine has its own Debian packages from."""
    fields = ["--format", "$(LABEL) $(REPO_URI)", "Created-By: Packages"]
    told = subprocess.run(["apt-get", "indextargets", *fields], stdout=subprocess.PIPE, text=True, check=True)
    sites = [site for label, _, site in (line.partition(" ") for line in told.stdout.splitlines()) if label == "Debian"]
    assert sites, "Expected a Debian with a source of packages that `apt-get update` has read, found none."
    return sites[0]


def _shape(tree: Path) -> None:
    """As Docker's own: `python` and pip in /usr/local, no bytecode in the standard library, pip free to install."""
    (library,) = (tree / "usr/lib").glob("python3.*")
    (library / "EXTERNALLY-MANAGED").unlink()
    (tree / "usr/local/bin/python").symlink_to(f"/usr/bin/{library.name}")
    (wheel,) = (tree / "usr/share/python-wheels").glob("pip-*.whl")
    with zipfile.ZipFile(wheel) as pip:
        pip.extractall(tree / "usr/local/lib" / library.name / "dist-packages")
    for compiled in (tree / "usr/lib").rglob("*.pyc"):
        compiled.unlink()


def _without_leftovers(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    leftovers = ("./var/cache/apt/", "./var/lib/apt/lists/", "./usr/share/doc/", "./usr/share/locale/")
    return None if entry.name.startswith(leftovers) else entry
