"""Adds the interpreter and the base's Debian packages to a CycloneDX document: `debian_packages.py PYTHON ALL`."""  # noqa: INP001

import json
import platform
import sys
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path
from urllib.parse import quote


def _debian() -> Iterator[dict[str, str]]:
    system = platform.freedesktop_os_release()
    for stanza in Path("/var/lib/dpkg/status").read_text().strip().split("\n\n"):
        package = Parser().parsestr(stanza)
        if package["Status"] == "install ok installed":
            name, version = package["Package"], package["Version"]
            at = f"pkg:deb/{system['ID']}/{quote(name, safe='')}@{quote(version, safe='')}"
            yield _component(name, version, f"{at}?arch={package['Architecture']}&distro={system['VERSION_CODENAME']}")


def _component(name: str, version: str, purl: str) -> dict[str, str]:
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def main() -> None:
    source, target = map(Path, sys.argv[1:])
    bill = json.loads(source.read_bytes())
    python = platform.python_version()
    bill["components"] += [_component("python", python, f"pkg:generic/python@{python}"), *_debian()]
    target.write_text(json.dumps(bill, indent=1) + "\n")


main()
