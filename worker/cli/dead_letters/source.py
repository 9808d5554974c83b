"""Where dead letters lie, and reading what the commands choose from."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from worker.app import bus_options, credential_of, request_source
from worker.cli.dead_letters.hints import hints
from worker.cli.dead_letters.options import Place
from worker.cli.dead_letters.words import say
from worker.cli.failure import CommandFailed
from worker.core.dead_letters.letter import FlowsSpec, Letter, letter_of
from worker.core.dead_letters.selection import Selection
from worker.servicebus.connect import Bus, QueueSource, Source, SubscriptionSource
from worker.servicebus.dead_letters import Browser, dead_letters_of
from worker.settings import Settings


@dataclass(slots=True, kw_only=True)
class Seen:
    """`unreadable`: sequence numbers of messages that the SDK can't decode; nobody knows what they are."""

    letters: list[Letter] = field(default_factory=list)
    unreadable: list[int] = field(default_factory=list)


@asynccontextmanager
async def bus_of(settings: Settings) -> AsyncIterator[Bus]:
    async with credential_of(settings) as credential, Bus(bus_options(settings, credential)) as bus:
        yield bus


def source_of(settings: Settings, place: Place) -> Source:
    """Whose dead letters they are."""
    if place.is_retry_queue:
        if settings.servicebus.retry_queue is None:
            raise CommandFailed("The settings name no retry queue (servicebus.retry_queue).")
        return QueueSource(queue=settings.servicebus.retry_queue)
    return request_source(settings) if place.queue is None else QueueSource(queue=place.queue)


def name_of(source: Source) -> str:
    match source:
        case QueueSource(queue=queue):
            return queue
        case SubscriptionSource(topic=topic, subscription=subscription):
            return f"{topic}/{subscription}"


def flows_of(settings: Settings) -> FlowsSpec:
    return FlowsSpec(flows=settings.flow_specs(), routes=settings.route_rules())


async def seen(
    bus: Bus,
    source: Source,
    flows: FlowsSpec,
    selection: Selection,
    *,
    most: int | None = None,
    to_flow: str | None = None,
) -> Seen:
    """The oldest `most` of those that are chosen."""
    found = Seen()
    async with Browser(bus, dead_letters_of(source)) as browser:
        async for page in browser.pages():
            found.unreadable += page.unreadable
            for each in page.messages:
                letter = letter_of(each.delivery, flows, to_flow=to_flow)
                if selection.takes(letter):
                    found.letters.append(letter)
                    if len(found.letters) == most:
                        return found
    return found


def say_hints(settings: Settings, selection: Selection, found: Seen) -> None:
    """On stderr, of what may be misspelt."""
    for line in hints(selection, found.letters, settings.flow_specs()):
        say(line, err=True)


def unreadable_sentence(unreadable: list[int]) -> str:
    numbers = ", ".join(map(str, unreadable[:5])) + (", …" if len(unreadable) > 5 else "")
    return (
        f"{len(unreadable)} can't be decoded by the bus SDK and stay where they are (sequence number {numbers}): look "
        "at them with another tool, and let their sender send its data as bytes or as text."
    )
