"""Commands of Azure's CLI, written for one bridge. What can't be known here is a <placeholder>."""

import shlex
from dataclasses import dataclass
from typing import Final, assert_never

from worker.core.roles import Entity, Need, Queue, Subscription, Topic

SUBSCRIPTION: Final = "<subscription>"
RESOURCE_GROUP: Final = "<resource-group>"
NAMESPACE: Final = "<namespace>"
OBJECT_ID: Final = "<object-id>"
DUPLICATES_REMEMBERED: Final = "PT10M"  # beyond the longest lock, after which a request comes again
_HOSTS: Final = (".servicebus.windows.net", ".servicebus.usgovcloudapi.net", ".servicebus.chinacloudapi.cn")


@dataclass(frozen=True, slots=True, kw_only=True)
class Azure:
    """`object_id`: of the identity that roles are for."""

    namespace: str = NAMESPACE
    object_id: str = OBJECT_ID

    def assignment(self, need: Need, *, object_id: str | None = None) -> str:
        """`object_id`: of another identity than the worker's."""
        resource = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{RESOURCE_GROUP}/providers/Microsoft.ServiceBus"
        return command(
            *("az", "role", "assignment", "create", "--role", need.role.name),
            *("--assignee-object-id", object_id or self.object_id, "--assignee-principal-type", "ServicePrincipal"),
            *("--scope", f"{resource}/namespaces/{self.namespace}/{need.entity.path}"),
        )

    def show(self, entity: Entity, *words: str) -> str:
        return self._on(entity, "show", *words)

    def update(self, entity: Entity, *words: str) -> str:
        return self._on(entity, "update", *words)

    def delete(self, entity: Entity) -> str:
        return self._on(entity, "delete")

    def create_requests(
        self, entity: Queue | Subscription, *, lock_s: float, max_deliveries: int, has_sessions: bool
    ) -> str:
        words = [*("--lock-duration", f"PT{lock_s:g}S"), *("--max-delivery-count", str(max_deliveries))]
        words += ["--enable-dead-lettering-on-message-expiration", "true"]
        if has_sessions:
            words += ["--enable-session", "true"]
        if isinstance(entity, Queue):
            return self._on(entity, "create", *words, *_DETECTS_DUPLICATES)
        topic = Topic(name=entity.topic)
        is_there, create = self.show(topic, "--output", "none"), self._on(topic, "create", *_DETECTS_DUPLICATES)
        return f"{is_there} || {create}\n{self._on(entity, 'create', *words)}"

    def create_replies(self, queue: Queue) -> str:
        return self._on(queue, "create", "--enable-session", "true", *_DETECTS_DUPLICATES)

    def of_namespace(self, *words: str) -> str:
        """`words`: the rest of `az servicebus namespace`, without the namespace's own name."""
        return command(
            *("az", "servicebus", "namespace", *words),
            *("--namespace-name", self.namespace, "--resource-group", RESOURCE_GROUP),
        )

    def _on(self, entity: Entity, verb: str, *words: str) -> str:
        match entity:
            case Queue():
                kind = ["queue", verb, "--name", entity.name]
            case Topic():
                kind = ["topic", verb, "--name", entity.name]
            case Subscription():
                kind = ["topic", "subscription", verb, "--name", entity.name, "--topic-name", entity.topic]
            case _:
                assert_never(entity)
        where = ("--namespace-name", self.namespace, "--resource-group", RESOURCE_GROUP)
        return command("az", "servicebus", *kind, *where, *words)


_DETECTS_DUPLICATES: Final = (
    *("--enable-duplicate-detection", "true"),
    *("--duplicate-detection-history-time-window", DUPLICATES_REMEMBERED),
)


def command(*words: str) -> str:
    """For a POSIX shell, where a bare <placeholder> would read from a file."""
    return shlex.join(words)


def namespace_of(host: str) -> str:
    """The resource's name; a placeholder where the host is none of Azure's."""
    name, dot, domain = host.lower().partition(":")[0].partition(".")
    return name if f"{dot}{domain}" in _HOSTS else NAMESPACE
