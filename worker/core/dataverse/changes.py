"""Which columns an event brings, and which of them are different from before."""

from collections.abc import Iterator
from typing import Final

from worker.core.dataverse.context import (
    Entity,
    EntityCollection,
    EntityReference,
    RemoteExecutionContext,
    Value,
)

TARGET: Final = "Target"
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
    return any(
        column in row.attributes and _differs(row.attributes[column], _image_of(context, row), column)
        for row in _rows_written(context)
    )


def _rows_written(context: RemoteExecutionContext) -> Iterator[Entity]:
    target, targets = target_of(context), context.input_parameters.get(_TARGETS)
    if target is not None:
        yield target
    if isinstance(targets, EntityCollection):
        yield from targets.entities


def _image_of(context: RemoteExecutionContext, row: Entity) -> dict[str, Value] | None:
    """What all pre-images of the row say together: each may hold other columns."""
    images = [image for image in context.pre_entity_images.values() if image.id in (None, row.id) or row.id is None]
    return {name: value for image in images for name, value in image.attributes.items()} if images else None


def _differs(value: Value, image: dict[str, Value] | None, column: str) -> bool:
    return image is None or _compared(value) != _compared(image.get(column))


def _compared(value: Value) -> object:
    """A reference is the row that it names, with or without the row's title."""
    if isinstance(value, EntityReference):
        return (value.logical_name, (value.id or "").lower(), tuple(value.keys.items()))
    if isinstance(value, tuple):
        return tuple(_compared(item) for item in value)
    return value
