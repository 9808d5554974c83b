"""Every file is of use, and says of itself what it is for."""

import ast

from .modules import MODULES, Module

ENTRY_POINTS = {
    *("worker", "worker.__main__"),  # `python -m worker`; the console script is imported by it
    *("worker.cli.bench.documented", "worker.cli.bench.floor", "worker.cli.bench.plain"),  # likewise, for the benchmark
}
# What a program imports that uses flowbridge as a library.
PUBLIC = {"worker.requester"}
# What a file that is shipped beside it is written from.
GENERATORS = {"worker.core.dataverse.schema"}


def test_no_module_is_dead() -> None:
    imported = {name for module in MODULES for name in module.imports}
    dead = [
        module.name
        for module in MODULES
        if module.name not in imported | ENTRY_POINTS | PUBLIC | GENERATORS
        and not (module.is_package and _only_speaks(module))
    ]
    assert dead == []


def test_every_package_says_what_may_live_there() -> None:
    silent = [
        module.name
        for module in MODULES
        if module.is_package and module.name != "worker" and not ast.get_docstring(module.tree)
    ]
    assert silent == []


def test_every_module_is_imported_by_its_full_name() -> None:
    assert {module.name: module.relative_imports for module in MODULES if module.relative_imports} == {}


def _only_speaks(module: Module) -> bool:
    """A package whose __init__ holds no more than its docstring."""
    return all(isinstance(node, ast.Expr) for node in module.tree.body)
