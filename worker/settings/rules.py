"""What one setting says about another. Each rule names every key that it looks at."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import TypeAlias

from worker.core.dataverse.facts import EventFacts
from worker.core.loopback import is_loopback
from worker.core.match import Match
from worker.settings.addresses import has_signature, split_url
from worker.settings.content_rules import broken_content, broken_query
from worker.settings.door_rules import broken_door
from worker.settings.model import FlowSettings, MatchSettings, ServiceBusSettings, Settings, WorkerSettings
from worker.settings.problems import Problem, did_you_mean

Sound: TypeAlias = Callable[..., bool]  # whether none of these keys is known to be wrong, nor (is_whole) any inside


def broken_rules(settings: Settings, sound: Sound, *, needs_flows: bool) -> Iterator[Problem]:
    yield from _servicebus(settings.servicebus, sound)
    yield from _identity(settings, sound)
    yield from _worker(settings, sound)
    yield from _flows(settings, sound, needs_flows=needs_flows)
    yield from _routes(settings, sound)
    yield from broken_door(settings, sound)


def _servicebus(bus: ServiceBusSettings, sound: Sound) -> Iterator[Problem]:
    given = [key for key in ("namespace", "connection_string") if getattr(bus, key) is not None]
    if sound("servicebus.namespace", "servicebus.connection_string", "servicebus.connection_string_file"):
        if not given:
            yield Problem(
                key="servicebus",
                what="expected a namespace or a connection_string, got neither",
                fix='set servicebus.namespace = "NAME.servicebus.windows.net", or connection_string, '
                "or connection_string_file",
            )
        elif len(given) == 2:
            yield Problem(
                key="servicebus.connection_string",
                what="expected either a namespace or a connection_string, got both",
                fix="keep namespace for a managed identity, or connection_string for an access key",
            )
    if sound("servicebus.request_topic", "servicebus.request_subscription", "servicebus.request_queue"):
        yield from _request_source(bus, sound)
    if sound("servicebus.reply_queues"):
        seen = Counter(queue.lower() for queue in bus.reply_queues)
        for queue in (queue for queue, times in seen.items() if times > 1):
            yield Problem(key="servicebus.reply_queues", what=f"{queue} is listed twice", fix="list each queue once")
        for key in ("request_queue", "retry_queue"):
            queue = getattr(bus, key)
            is_read = bus.request_topic is None or key == "retry_queue"
            if is_read and queue is not None and queue.lower() in seen:
                yield Problem(
                    key="servicebus.reply_queues",
                    what=f"{queue} is also the {key}, so the worker would read its own answers as requests",
                    fix="answer into another queue",
                )


def _request_source(bus: ServiceBusSettings, sound: Sound) -> Iterator[Problem]:
    if bus.request_topic is None:
        for key in ("request_subscription", "retry_queue"):
            if getattr(bus, key) is not None and sound(f"servicebus.{key}"):
                yield Problem(
                    key=f"servicebus.{key}", what="is set without request_topic", fix="set request_topic, or remove it"
                )
        return
    if bus.request_sessions and bus.retry_queue is not None and sound("servicebus.retry_queue"):
        yield Problem(
            key="servicebus.retry_queue",
            what="with request_sessions a request is tried again in its session, and no copy of it is made",
            fix="remove it, or set request_sessions = false",
        )
    if "request_queue" in bus.model_fields_set:
        yield Problem(
            key="servicebus.request_topic",
            what="expected either request_queue or request_topic, got both",
            fix="remove the one that isn't read",
        )
    if bus.request_subscription is None:
        yield Problem(
            key="servicebus.request_subscription",
            what="a topic is read through a subscription, and none is set",
            fix="set request_subscription to its name",
        )


def _identity(settings: Settings, sound: Sound) -> Iterator[Problem]:
    bus = settings.servicebus
    if (
        settings.identity.kind == "static"
        and not bus.uses_emulator
        and sound("identity.kind", "servicebus.connection_string", "servicebus.connection_string_file")
    ):
        yield Problem(
            key="identity.kind",
            what="static is for the emulator only, and servicebus.connection_string has no UseDevelopmentEmulator=true",
            fix='write kind = "managed" or kind = "workload"',
        )


def _worker(settings: Settings, sound: Sound) -> Iterator[Problem]:
    worker, bus = settings.worker, settings.servicebus
    if worker.drain_s >= worker.grace_s and sound("worker.drain_s", "worker.grace_s"):
        yield Problem(
            key="worker.drain_s",
            what=f"expected less than worker.grace_s ({worker.grace_s:g}), got {worker.drain_s:g}",
            fix="lower drain_s, or raise grace_s together with the platform's termination grace",
        )
    makes_copies = len(worker.redelivery_s) > 0 and not bus.request_sessions
    needs_queue = bus.request_topic is not None and bus.retry_queue is None and makes_copies
    if needs_queue and sound(
        "worker.redelivery_s", "servicebus.retry_queue", "servicebus.request_topic", "servicebus.request_sessions"
    ):
        yield Problem(
            key="servicebus.retry_queue",
            what="copies for later never go to a topic, and there is no queue for them",
            fix="set retry_queue, or worker.redelivery_s = []",
        )
    if sound("worker.concurrency", "worker.processes", "servicebus.retry_queue"):
        yield from _slots(worker, has_retry_queue=bus.retry_queue is not None)


def _slots(worker: WorkerSettings, *, has_retry_queue: bool) -> Iterator[Problem]:
    """Every process receives from whatever the worker receives from."""
    each = 2 if has_retry_queue else 1
    if worker.concurrency >= each * worker.processes:
        return
    expected, fix = f"at least {each}", "raise it"
    if worker.processes > 1:
        expected, fix = f"{expected} for each of worker.processes ({worker.processes})", f"{fix}, or lower processes"
    if has_retry_queue:
        expected += ", one slot for the subscription and one for retry_queue"
        fix += ", or remove retry_queue and set worker.redelivery_s = []"
    yield Problem(key="worker.concurrency", what=f"expected {expected}, got {worker.concurrency}", fix=fix)


def _flows(settings: Settings, sound: Sound, *, needs_flows: bool) -> Iterator[Problem]:
    if needs_flows and not settings.flows and sound("flows"):
        yield Problem(key="flows", what="expected at least one flow, got none", fix="add [[flows]] with name and url")
    first_use: dict[str, int] = {}
    for index, flow in enumerate(settings.flows):
        key = f"flows[{index}]"
        if not sound(key):
            continue
        if sound(f"{key}.name"):
            yield from _name(flow, key, first_use, is_only=len(settings.flows) == 1)
            first_use.setdefault(flow.name, index)
        if sound(f"{key}.url", f"{key}.url_file"):
            yield from broken_url(flow, key, sound)
        if sound(*(f"{key}.{name}" for name in ("method", "body", "body_template", "query", "request_schema"))):
            yield from broken_content(flow, key)
        if sound(f"{key}.concurrency", "worker.processes", "worker.replicas"):
            yield from _calls(flow, settings.worker, key)
        if flow.hedge_after_s > 0 and not flow.idempotent and sound(f"{key}.hedge_after_s", f"{key}.idempotent"):
            yield Problem(
                key=f"{key}.hedge_after_s",
                what="a hedge is a second call of the same request, and the flow is not idempotent",
                fix="set idempotent = true if the flow bears that, or remove hedge_after_s",
            )
        if flow.retry.first_s > flow.retry.max_s and sound(f"{key}.retry.first_s", f"{key}.retry.max_s"):
            yield Problem(
                key=f"{key}.retry.first_s",
                what=f"expected at most retry.max_s ({flow.retry.max_s:g}), got {flow.retry.first_s:g}",
                fix="lower first_s or raise max_s",
            )


def _calls(flow: FlowSettings, worker: WorkerSettings, key: str) -> Iterator[Problem]:
    """No process has a share of less than one call at once, so more of them would be too many for the flow."""
    sharing = worker.processes * worker.replicas
    if worker.processes > 1 and flow.concurrency < sharing:
        yield Problem(
            key=f"{key}.concurrency",
            what=f"expected at least one call for each process of each replica, {sharing} in all, "
            f"got {flow.concurrency}",
            fix="lower worker.processes, or raise it if the flow bears that",
        )


def _name(flow: FlowSettings, key: str, first_use: dict[str, int], *, is_only: bool) -> Iterator[Problem]:
    if not flow.name.strip() and not is_only:
        yield Problem(key=f"{key}.name", what="expected a name, got none", fix="with several flows, name each")
    elif flow.name in first_use:
        yield Problem(
            key=f"{key}.name",
            what=f"{flow.name!r} is already the name of flows[{first_use[flow.name]}]",
            fix="give each flow a name of its own",
        )


def broken_url(flow: FlowSettings, key: str, sound: Sound) -> Iterator[Problem]:
    if flow.url is None:
        yield Problem(
            key=f"{key}.url",
            what="expected the flow's URL, got none",
            fix="copy it from the trigger, or name a mounted file in url_file",
        )
        return
    parts = split_url(flow.url.get_secret_value())
    if parts is None or parts.username is not None or parts.fragment:
        yield Problem(
            key=f"{key}.url",
            what="expected an absolute https:// URL without user name and fragment, got something else",
            fix="copy the URL from the flow's HTTP trigger",
        )
        return
    is_local = is_loopback(parts.hostname)
    if parts.scheme == "http" and not is_local:
        yield Problem(
            key=f"{key}.url",
            what=f"expected https://, got http:// to {parts.hostname}, which isn't this machine",
            fix="use https://; plain http is for loopback addresses only",
        )
    if sound(f"{key}.query"):
        yield from broken_query(flow, parts, key)
    if not sound(f"{key}.auth"):
        return
    if flow.auth == "none" and not is_local:
        yield Problem(
            key=f"{key}.auth",
            what=f'"none" is for loopback addresses only, and the URL names {parts.hostname}',
            fix='use auth = "identity", or "sas" where the URL holds sig=',
        )
    if flow.auth == "identity" and has_signature(parts):
        yield Problem(
            key=f"{key}.auth",
            what='a bearer token is refused together with sig=, and the URL holds one while auth = "identity"',
            fix='write auth = "sas", or take sig= out of the URL',
        )
    if flow.auth == "sas" and not has_signature(parts):
        yield Problem(
            key=f"{key}.auth",
            what='"sas" needs a URL with sig=, and this one has none',
            fix='copy the URL with its signature, or write auth = "identity"',
        )


def _routes(settings: Settings, sound: Sound) -> Iterator[Problem]:
    known = set(settings.flow_specs())
    for index, route in enumerate(settings.routes):
        yield from _match(route.match, f"routes[{index}].match", sound)
        key = f"routes[{index}].flow"
        if not sound(key) or route.flow in known:
            continue
        if not route.flow:
            yield Problem(key=key, what="expected the name of a flow, got none", fix='write flow = "NAME"')
        elif sound(*(f"flows[{number}].name" for number in range(len(settings.flows))), "flows"):
            yield Problem(
                key=key, what=f"there is no flow named {route.flow!r:.100}", fix=did_you_mean(route.flow, known)
            )


def _match(match: MatchSettings, key: str, sound: Sound) -> Iterator[Problem]:
    if (
        match.custom_api is not None
        and EventFacts(message=match.custom_api).custom_api is None
        and sound(f"{key}.custom_api")
    ):
        yield Problem(
            key=f"{key}.custom_api",
            what="expected its name with the publisher's prefix and an underscore, "
            f"got {match.custom_api!r:.100}, which can never match",
            fix="write the unique name of the custom API, or message for a message of Dataverse's own",
        )
    if "any" in match.model_fields_set and not match.any and sound(f"{key}.any"):
        yield Problem(key=f"{key}.any", what="expected at least one match, got none", fix="add one, or remove any")
    inner = [(f"{key}.any[{index}]", alternative) for index, alternative in enumerate(match.any)]
    if match.unless is not None:
        inner.append((f"{key}.not", match.unless))
    for place, each in inner:
        is_empty = each.match() == Match() and "any" not in each.model_fields_set  # an empty any is told of itself
        if is_empty and sound(place, is_whole=True):
            yield Problem(
                key=place,
                what="expected a condition, got none, which holds for every request",
                fix="write what it should look at, or remove it",
            )
        yield from _match(each, place, sound)
