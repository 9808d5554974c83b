"""The HTTP surface of a worker that is in whatever state a test puts it in."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from worker.admin.server import serve
from worker.admin.surface import Exposition, Steer, Surface
from worker.core.readiness import Readiness

from .documents import Document, all_fine

TOKEN = "let-me-in"


@dataclass(slots=True, kw_only=True)
class Stage:
    port: int = 0
    document: Document = field(default_factory=all_fine)
    steered: list[Steer] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    reads: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def surface(self, admin_token: str | None) -> Surface:
        return Surface(
            read_readiness=lambda: Readiness(reasons=tuple(self.document["reasons"])),
            read_status=self._read,
            read_metrics=self._expose,
            steer=self._steer,
            admin_token=admin_token,
        )

    def _read(self) -> Document:
        self.reads += 1
        return self.document

    def _expose(self, accept: str) -> Exposition:
        self.accepted.append(accept)
        return Exposition(body=b"flowbridge_up 1\n", content_type="text/plain; version=0.0.4; charset=utf-8")

    def _steer(self, steer: Steer) -> bool:
        self.steered.append(steer)
        for flow in self.document["flows"]:
            if flow["name"] == steer.flow:
                flow["circuit"] = "isolated" if steer.action == "isolate" else "closed"
                return True
        return False


@asynccontextmanager
async def staged(*, port: int = 0, admin_token: str | None = TOKEN) -> AsyncIterator[Stage]:
    stage = Stage()
    async with serve(host="127.0.0.1", port=port, surface=stage.surface(admin_token)) as bound:
        stage.port = bound
        yield stage
