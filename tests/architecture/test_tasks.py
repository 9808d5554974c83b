"""A task belongs to a group, which waits for it and hears of its failure. Each exception has its reason."""

import ast

from .modules import MODULES, Module

LOOSE_TASKS = {
    "worker.cli.demonstration.stage": "awaited at the end of the same context manager, whatever happens in it",
    "worker.flow.keeper": "one task for each token, kept and cancelled by its credential; a caller can't be its group",
    "worker.servicebus.links": "links on their way out, kept in a set that `done` waits for; they never fail",
    "worker.servicebus.shielding": "work that cancellation may not cut, awaited to its end where it is made",
}


def test_loose_tasks_are_made_only_where_there_is_a_reason() -> None:
    makers = {module.name for module in MODULES if any(_makes_loose_task(call) for call in module.calls)}
    assert makers == set(LOOSE_TASKS)


def test_nothing_of_asyncio_that_makes_tasks_is_imported_by_its_bare_name() -> None:
    bare = {"asyncio.create_task", "asyncio.ensure_future", "asyncio.run_coroutine_threadsafe"}
    assert [module.name for module in MODULES if module.imports & bare] == []


def test_every_task_of_a_group_is_made_by_a_name_that_is_one() -> None:
    """`loop.create_task` is as loose as asyncio's own."""
    loops = [module.name for module in MODULES if any(_is_of_loop(call) for call in module.calls)]
    assert loops == []


def _makes_loose_task(call: ast.Call) -> bool:
    match call.func:
        case ast.Attribute(
            attr="create_task" | "ensure_future" | "run_coroutine_threadsafe", value=ast.Name("asyncio")
        ):
            return True
        case _:
            return False


def _is_of_loop(call: ast.Call) -> bool:
    match call.func:
        case ast.Attribute(attr="create_task", value=ast.Name(name)):
            return name.endswith("loop")
        case ast.Attribute(attr="create_task", value=ast.Attribute(attr=name)):
            return name.endswith("loop")
        case ast.Attribute(attr="create_task", value=ast.Call()):
            return True
        case _:
            return False


def test_the_list_of_reasons_names_modules_that_exist() -> None:
    known: dict[str, Module] = {module.name: module for module in MODULES}
    assert set(LOOSE_TASKS) <= set(known)
