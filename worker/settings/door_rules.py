"""What the door's settings say about each other, and about the bus."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import TypeAlias

from worker.core.door.asker import ALL_FLOWS
from worker.core.loopback import is_loopback
from worker.settings.addresses import split_url
from worker.settings.model import CallerSettings, DoorSettings, Settings
from worker.settings.problems import Problem, did_you_mean

Sound: TypeAlias = Callable[..., bool]


def broken_door(settings: Settings, sound: Sound) -> Iterator[Problem]:
    door = settings.door
    if sound("door.tenants", "door.host", "door.audiences", "door.callers", "door.secret", "door.secret_file"):
        yield from _identity(door)
    if sound("door.callers"):
        yield from _callers(door.callers, {flow.called for flow in settings.flows})
    if sound("door.default_wait_s", "door.max_wait_s") and door.default_wait_s > door.max_wait_s:
        yield Problem(
            key="door.default_wait_s",
            what=f"expected at most door.max_wait_s ({door.max_wait_s:g}), got {door.default_wait_s:g}",
            fix="lower it, or raise max_wait_s",
        )
    if sound("door.peers", "door.replica", "door.replicas"):
        yield from _peers(door)
    if door.authority is not None and sound("door.authority"):
        yield from _url(door.authority, "door.authority", is_plain_allowed=False)
    queue = door.reply_queue
    if queue is not None and sound("door.reply_queue", "servicebus.reply_queues"):
        allowed = {each.lower() for each in settings.servicebus.reply_queues}
        if queue.lower() not in allowed:
            yield Problem(
                key="door.reply_queue",
                what=f"{queue} is none of servicebus.reply_queues, so no worker would answer there",
                fix="add it there, for worker and door",
            )


def _identity(door: DoorSettings) -> Iterator[Problem]:
    if not door.tenants:
        if not is_loopback(door.host):
            yield Problem(
                key="door.tenants",
                what=f"without tenants whoever reaches the door may ask, and door.host is {door.host}",
                fix="name the tenants whose tokens are good, or listen on 127.0.0.1",
            )
        return
    for key, needed in (("audiences", door.audiences), ("callers", door.callers)):
        if not needed:
            yield Problem(
                key=f"door.{key}",
                what="expected at least one where door.tenants is set, got none",
                fix="audiences: what tokens are for (api://…); callers: who may ask, by ids or roles",
            )
    if door.secret is None:
        yield Problem(
            key="door.secret",
            what="ids of requests are kept from being made up by a secret, and there is none",
            fix="set secret, or a mounted secret_file, the same for all replicas (openssl rand -hex 32)",
        )


def _callers(callers: tuple[CallerSettings, ...], flows: set[str]) -> Iterator[Problem]:
    names = Counter(caller.name for caller in callers)
    for index, caller in enumerate(callers):
        key = f"door.callers[{index}]"
        if names[caller.name] > 1:
            yield Problem(
                key=f"{key}.name", what=f"{caller.name!r} is the name of several", fix="give each caller its own"
            )
        if not (caller.ids or caller.roles):
            yield Problem(
                key=key,
                what="expected ids or roles, got neither, so it is nobody",
                fix="add object or application ids, or roles that tokens have",
            )
        for flow in caller.flows:
            if flow != ALL_FLOWS and flows and flow not in flows:
                fix = did_you_mean(flow, flows) or f"expected one of {', '.join(sorted(flows))}"
                yield Problem(key=f"{key}.flows", what=f"there is no flow {flow!r}", fix=fix)


def _peers(door: DoorSettings) -> Iterator[Problem]:
    if door.peers is None:
        return
    if "{replica}" not in door.peers:
        yield Problem(
            key="door.peers",
            what="expected an address with {replica} in it, got one without",
            fix='write it like "http://{replica}.flowbridge-door:8081"',
        )
    else:
        yield from _url(door.peers.replace("{replica}", "r"), "door.peers", is_plain_allowed=True)
    if not door.replicas:
        yield Problem(
            key="door.replicas",
            what="with peers the names of all replicas are needed, and there are none",
            fix="list them: ids in requests may name no others",
        )
    if door.replicas and door.replica is not None and door.replica not in door.replicas:
        yield Problem(
            key="door.replica", what=f"{door.replica} is none of door.replicas", fix="list every replica there"
        )


def _url(text: str, key: str, *, is_plain_allowed: bool) -> Iterator[Problem]:
    """`is_plain_allowed`: http, too, to hosts that aren't loopback."""
    parts = split_url(text)
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        yield Problem(key=key, what=f"expected a URL of http or https, got {text!r:.100}", fix="correct it")
    elif parts.scheme == "http" and not (is_plain_allowed or is_loopback(parts.hostname)):
        yield Problem(
            key=key,
            what="http:// to a host that is not loopback: who is on the way there could send keys of its own",
            fix="use https://",
        )
