"""Who needs which right where, and no more than that. Whether the worker has its own is seen when links are opened."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from worker.cli.finding import Finding, hint, ok
from worker.cli.preflight.azure import Azure
from worker.cli.preflight.entities import entities
from worker.core.roles import Entity, Need, needs_of_callers, needs_of_worker
from worker.settings import Settings

CALLER: Final = "<object-id-of-the-caller>"
_ROLE_BEGINS: Final = "Azure Service Bus Data "


def rights(settings: Settings, azure: Azure, *, shows_commands: bool) -> Iterator[Finding]:
    named, has_keys = entities(settings), settings.servicebus.namespace is None
    yield _told("worker", needs_of_worker(named), has_keys, azure, None, shows_commands=shows_commands)
    yield _told("requesters, door", needs_of_callers(named), has_keys, azure, CALLER, shows_commands=shows_commands)
    if not named.replies:
        yield hint("replies", "reply_queues is empty, so every request with a return address is dead-lettered")


def assignments(needs: Iterable[Need], azure: Azure, object_id: str | None = None) -> str:
    return "\n".join(azure.assignment(need, object_id=object_id) for need in needs)


def _told(
    who: str, needs: Sequence[Need], has_keys: bool, azure: Azure, object_id: str | None, *, shows_commands: bool
) -> Finding:
    by_entity: dict[Entity, list[str]] = {}
    for need in needs:
        by_entity.setdefault(need.entity, []).append(_short(need, has_keys=has_keys))
    by_rights: dict[str, list[str]] = {}
    for entity, held in by_entity.items():
        by_rights.setdefault(" and ".join(held), []).append(str(entity))
    told = [f"{held} on {', '.join(on)}" for held, on in by_rights.items()]
    facts = [_facts(need, azure, object_id) for need in needs]
    commands = assignments(needs, azure, object_id) if shows_commands and not has_keys else None
    what = "a key with " if has_keys else "the roles "
    return ok(who, f"{what}{'; '.join(told)}", mend=commands, needs=facts)


def _short(need: Need, *, has_keys: bool) -> str:
    return need.role.key_right if has_keys else need.role.name.removeprefix(_ROLE_BEGINS)


def _facts(need: Need, azure: Azure, object_id: str | None) -> dict[str, str]:
    return {
        "entity": need.entity.path,
        "role": need.role.name,
        "role_definition_id": need.role.definition_id,
        "key_right": need.role.key_right,
        "why": need.why,
        "command": azure.assignment(need, object_id=object_id),
    }
