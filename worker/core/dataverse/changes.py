"""Which columns an event brings, and which of them are different from before."""

from collections.abc import Iterator
from typing import Final

from worker.core.dataverse.context import (
    Entity,
    EntityCollection,
    EntityReference,
    OptionSetValue,
    RemoteExecutionContext,
    Value,
)

TARGET: Final = "Target"
_ANY_ROW: Final = ""  # of an image that names none
_NO_IMAGE: Final = object()
_TARGETS: Final = "Targets"  # of CreateMultiple and UpdateMultiple


def target_of(context: RemoteExecutionContext) -> Entity | None:
    """The row that was written; None where the event names a row only (Delete, Associate) or none."""
    target = context.input_parameters.get(TARGET)
    return target if isinstance(target, Entity) else None


def brings(context: RemoteExecutionContext, column: str) -> bool:
    return any(column in row.attributes for row in _rows_written(context))


def changes(context: RemoteExecutionContext, column: str) -> bool:
    """Whether a written row has another value there than its pre-image.

    An image leaves out what is null. Without an image of the row nobody knows, and it counts as changed.
    """
    before = _before(context, column)
    return any(
        column in row.attributes
        and _differs(row.attributes[column], before.get(_key(row), before.get(_ANY_ROW, _NO_IMAGE)))
        for row in _rows_written(context)
    )


def _rows_written(context: RemoteExecutionContext) -> Iterator[Entity]:
    target, targets = target_of(context), context.input_parameters.get(_TARGETS)
    if target is not None:
        yield target
    if isinstance(targets, EntityCollection):
        yield from targets.entities


def _before(context: RemoteExecutionContext, column: str) -> dict[str, object]:
    """What was in the column, by row; pre-images of one row may each hold other columns."""
    before: dict[str, object] = {}
    for image in context.pre_entity_images.values():
        if column in image.attributes or _key(image) not in before:
            before[_key(image)] = _compared(image.attributes.get(column))
    return before


def _key(row: Entity) -> str:
    return _ANY_ROW if row.id is None else row.id.lower()


def _differs(value: Value, before: object) -> bool:
    return before is _NO_IMAGE or _compared(value) != before


def _compared(value: Value) -> object:
    """A reference is the row that it names, with or without the row's title; choices have no order."""
    match value:
        case EntityReference():
            return (value.logical_name, (value.id or "").lower(), tuple(value.keys.items()))
        case tuple():
            compared = [_compared(item) for item in value]
            return sorted(compared, key=repr) if all(isinstance(item, OptionSetValue) for item in value) else compared
        case _:
            return value
