"""Which command mends a link that can't be opened."""

from dataclasses import dataclass
from typing import Final

from worker.cli.preflight.azure import Azure, command
from worker.cli.preflight.entities import entities, key_name
from worker.cli.preflight.rights import assignments
from worker.core.roles import Entities, Entity, Need, Queue, Subscription, Topic, needs_of_worker
from worker.servicebus.faults import Fault
from worker.settings import Settings

LARGEST_MB: Final = 5120  # of a queue in the Standard tier
_UNREACHED: Final = frozenset({Fault.TIMED_OUT, Fault.CONNECTION_REFUSED, Fault.UNREACHABLE})
_OF_EMULATOR: Final = _UNREACHED | {Fault.MISSING, Fault.SESSIONS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mending:
    settings: Settings
    azure: Azure

    def command_for(self, fault: Fault | None, need: Need) -> str | None:
        """`need`: what the link is for. None where no command is known to help."""
        if self.settings.servicebus.uses_emulator:
            return _emulator(self.settings) if fault in _OF_EMULATOR else None
        if fault in _UNREACHED:
            return self._other_way()
        azure, entity = self.azure, need.entity
        match fault:
            case Fault.MISSING:
                return self._create(entity)
            case Fault.DISABLED:
                return azure.update(entity, "--status", "Active")
            case Fault.NOT_ALLOWED:
                return self.grant(need)
            case Fault.CREDENTIAL_REFUSED:
                return f"{azure.show(entity, '--output', 'none')}  # is it there?\n{self._other_credential(need)}"
            case Fault.KEYS_DISABLED:
                return assignments(needs_of_worker(self._named), azure)
            case Fault.SESSIONS:
                return self._sessions(entity)
            case Fault.FULL:
                whole = Topic(name=entity.topic) if isinstance(entity, Subscription) else entity
                return azure.update(whole, "--max-size", str(LARGEST_MB))
            case Fault.FIREWALL:
                rule = ("--ip-rule", "ip-address=<this-host's-address>", "action=Allow")
                return azure.of_namespace("network-rule-set", "ip-rule", "add", *rule)
            case Fault.NAME_UNKNOWN:
                words = ("--query", "[].serviceBusEndpoint", "--output", "tsv")
                return command("az", "servicebus", "namespace", "list", *words)
            case Fault.UNTRUSTED:
                return "export SSL_CERT_FILE='<authority.pem>'"
            case _:
                return None

    def grant(self, *needs: Need) -> str:
        if self.settings.servicebus.namespace is not None:
            return assignments(needs, self.azure)
        rule = ("authorization-rule", "update", "--name", key_name(self.settings), "--rights", "Listen", "Send")
        return self.azure.of_namespace(*rule)

    @property
    def _named(self) -> Entities:
        return entities(self.settings)

    def _create(self, entity: Entity) -> str | None:
        bus = self.settings.servicebus
        if entity in self._named.replies and isinstance(entity, Queue):
            return self.azure.create_replies(entity)
        if isinstance(entity, Topic):
            return None
        return self.azure.create_requests(
            entity, lock_s=bus.lock_s, max_deliveries=bus.max_delivery_count, has_sessions=bus.request_sessions
        )

    def _sessions(self, entity: Entity) -> str | None:
        """Whether a queue requires sessions is fixed when it is made; what the settings say of it is not."""
        if entity in self._named.replies and isinstance(entity, Queue):
            anew = f"{self.azure.delete(entity)}  # with all that is on it"
            return f"{anew}\n{self.azure.create_replies(entity)}"
        wanted = "false" if self.settings.servicebus.request_sessions else "true"
        return f"export FLOWBRIDGE_SERVICEBUS__REQUEST_SESSIONS={wanted}"

    def _other_credential(self, need: Need) -> str:
        if self.settings.servicebus.namespace is not None:
            return self.azure.assignment(need)
        words = ("--query", "primaryConnectionString", "--output", "tsv")
        return self.azure.of_namespace("authorization-rule", "keys", "list", "--name", key_name(self.settings), *words)

    def _other_way(self) -> str:
        """Port 5671 is closed in many networks where 443 is open."""
        if self.settings.servicebus.transport == "amqp":
            return "export FLOWBRIDGE_SERVICEBUS__TRANSPORT=websockets"
        return self.azure.of_namespace("network-rule-set", "show")


def _emulator(settings: Settings) -> str:
    """One that has just what the settings name."""
    bus = settings.servicebus
    if bus.request_topic is not None:
        return command("flowbridge", "emulator", "--config", "<entities.toml>")
    requests = f"{bus.request_queue}:session" if bus.request_sessions else bus.request_queue
    queues = dict.fromkeys([requests, *(f"{queue}:session" for queue in bus.reply_queues)])
    return command("flowbridge", "emulator", *(word for queue in queues for word in ("--queue", queue)))
