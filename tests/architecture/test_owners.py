"""One owner for each foreign library, so that its quirks are met, and its errors translated, at one door."""

import pytest

from .modules import MODULES, Module

# Programs of their own that the benchmark measures the worker against, so they may share nothing with it.
SUBJECTS = ("worker.cli.bench.documented", "worker.cli.bench.floor", "worker.cli.bench.plain")
OWNERS = {
    "azure.servicebus": ("worker.servicebus", *SUBJECTS),
    "azure.identity": ("worker.flow",),
    "jwt": ("worker.door.tokens",),
    "tenacity": ("worker.flow",),
    "aiohttp.web": ("worker.admin", "worker.door", "worker.emulator"),
    "pydantic": ("worker.settings", "worker.cli.emulator_file"),
    "pydantic_settings": ("worker.settings",),
    "typer": ("worker.cli",),
    "rich": ("worker.cli",),
    "uvloop": ("worker.cli",),
    "opentelemetry": ("worker.tracing",),
    "prometheus_client": ("worker.metrics",),
}


def is_of(imported: str, library: str) -> bool:
    return imported == library or imported.startswith(f"{library}.")


@pytest.mark.parametrize("library", OWNERS)
def test_a_library_is_imported_by_its_owner_alone(library: str) -> None:
    importers = [module for module in MODULES if any(is_of(name, library) for name in module.imports)]
    assert [module.name for module in importers if not module.is_within(*OWNERS[library])] == []


def test_aiohttps_client_is_used_for_flows_and_by_the_door_alone() -> None:
    def uses_client(module: Module) -> bool:
        names = {name for name in module.imports if is_of(name, "aiohttp")}
        return bool(names) and not all(name == "aiohttp" or is_of(name, "aiohttp.web") for name in names)

    def imports_all(module: Module) -> bool:
        """`import aiohttp` gives the client away; `from aiohttp import web` does not."""
        return "aiohttp" in module.imports and "aiohttp.web" not in module.imports

    strangers = [module.name for module in MODULES if uses_client(module) or imports_all(module)]
    owners = ("worker.flow.", "worker.door.")
    assert [name for name in strangers if not name.startswith(owners) and name not in SUBJECTS] == []


def test_nothing_private_of_azures_is_imported() -> None:
    private = [
        f"{module.name} imports {name}"
        for module in MODULES
        for name in module.imports
        if is_of(name, "azure") and any(part.startswith("_") for part in name.split("."))
    ]
    assert private == []


def test_the_settings_of_the_process_are_read_by_its_top_alone() -> None:
    tops = ("worker.settings", "worker.app", "worker.doorway", "worker.supervisor", "worker.cli")
    readers = [module for module in MODULES if any(is_of(name, "worker.settings") for name in module.imports)]
    assert [module.name for module in readers if not module.is_within(*tops)] == []
