"""The embedded broker: Service Bus's protocol and semantics in this process, on a TCP port."""

from __future__ import annotations

import secrets
import ssl
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from worker.emulator.broker import Broker, Topology
from worker.emulator.faults import Faults
from worker.emulator.server.auth import AnyToken, Auth, SasKey
from worker.emulator.server.facts import Facts
from worker.emulator.server.floor import Floor
from worker.emulator.server.http_connections import HttpConnections
from worker.emulator.server.listener import Listener
from worker.emulator.server.rest import RestIntake
from worker.emulator.server.wire import TcpWire

ANYONE: Final = AnyToken()
_ANY_KEY: Final = SasKey(name="RootManageSharedAccessKey", key="any-key-will-do")
"""Clients want a key to sign with, also where none is checked."""


class EmbeddedBroker:
    """`async with EmbeddedBroker(topology) as broker:` listens until the end of the block.

    AMQP, web sockets and HTTP come on the same port, with `tls` all inside TLS. `port` 0 takes a free one.
    `keeps_history` off for long runs: the history grows with every message.
    """

    def __init__(
        self,
        topology: Topology,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        auth: Auth = ANYONE,
        tls: ssl.SSLContext | None = None,
        keeps_history: bool = True,
    ) -> None:
        """Raises InvalidTopologyError."""
        self._auth = auth
        self._wires: set[TcpWire] = set()
        self._floor = Floor(Broker(topology, lock_token_salt=secrets.randbits(64)), keeps_history=keeps_history)
        self._listener = Listener(host, port, self._wire, tls=tls)
        self._has_tls = tls is not None
        self.faults = Faults(self._wires, self._listener, self._floor)
        self._http = HttpConnections(RestIntake(floor=self._floor, faults=self.faults, auth=auth))
        self.facts = Facts(self._floor, self._wires)

    def _wire(self) -> TcpWire:
        return TcpWire(
            floor=self._floor,
            faults=self.faults,
            auth=self._auth,
            wires=self._wires,
            new_http=self._http.new_connection,
        )

    @property
    def port(self) -> int:
        return self._listener.port

    @property
    def connection_string(self) -> str:
        """For the official SDKs; `UseDevelopmentEmulator` makes them speak without TLS."""
        key = self._auth if isinstance(self._auth, SasKey) else _ANY_KEY
        return (
            f"Endpoint=sb://{self._listener.host}:{self.port};SharedAccessKeyName={key.name};"
            f"SharedAccessKey={key.key};{'' if self._has_tls else 'UseDevelopmentEmulator=true;'}"
        )

    async def until(self, is_so: Callable[[Facts], bool], *, timeout_s: float = 10.0) -> None:
        """Wait for facts instead of sleeping. Raises TimeoutError."""
        await self.facts.until(is_so, timeout_s=timeout_s)

    async def __aenter__(self) -> Self:
        await self._listener.listen()
        return self

    async def __aexit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._listener.stop_listening()
        self.faults.cut_connections(resets=False)
        await self.until(lambda facts: facts.connections == 0)
        await self._http.close()
        self._floor.close()
