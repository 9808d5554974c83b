"""The settings' queues, topic and subscription, as everything else here looks at them."""

from urllib.parse import urlsplit

from worker.app import redelivery_queue
from worker.cli.preflight.azure import Azure, namespace_of
from worker.core.roles import Entities, entities_of
from worker.settings import Settings
from worker.settings.addresses import connection_string_parts


def entities(settings: Settings) -> Entities:
    bus = settings.servicebus
    return entities_of(
        request_queue=bus.request_queue,
        request_topic=bus.request_topic,
        request_subscription=bus.request_subscription,
        retry_queue=bus.retry_queue,
        copies_to=redelivery_queue(settings),
        reply_queues=bus.reply_queues,
    )


def azure(settings: Settings, *, object_id: str | None = None) -> Azure:
    """`object_id`: the worker's identity's, where it is known."""
    known = {} if object_id is None else {"object_id": object_id}
    return Azure(namespace=namespace_of(_host(settings)), **known)


def key_name(settings: Settings) -> str:
    """Of the shared access policy; a placeholder where the connection string holds a signature instead."""
    return _parts(settings).get("sharedaccesskeyname") or "<policy>"


def _host(settings: Settings) -> str:
    return settings.servicebus.namespace or urlsplit(_parts(settings).get("endpoint", "")).netloc


def _parts(settings: Settings) -> dict[str, str]:
    secret = settings.servicebus.connection_string
    return {} if secret is None else connection_string_parts(secret.get_secret_value())
