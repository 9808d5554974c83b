"""The flows as the bridge calls them."""

from collections.abc import Iterable
from types import TracebackType
from typing import Self

from worker.core.flow_spec import FlowSpec
from worker.core.outcome import Running
from worker.core.request import Call
from worker.flow.call import FlowCall
from worker.flow.exchange import Session
from worker.flow.gate import Gate, GateFacts
from worker.flow.line import Line, TokenSource
from worker.flow.locations import parse_url
from worker.flow.polling import AnswerFetch


class FlowClient:
    """One HTTP session and a gate per flow, from `async with` to its end. `tokens` belongs to the caller."""

    def __init__(self, flows: Iterable[FlowSpec], tokens: TokenSource) -> None:
        self._flows = tuple(flows)
        self._tokens = tokens
        self._lines: dict[str, Line] = {}

    async def __aenter__(self) -> Self:
        self._session = Session()
        self._lines = {
            flow.name: Line(flow, session=self._session, gate=Gate(flow), tokens=self._tokens) for flow in self._flows
        }
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    def start(self, call: Call) -> FlowCall:
        return FlowCall(call, self._lines[call.flow.name])

    def fetch(self, flow: FlowSpec, running: Running, *, until: float, stays_until: float) -> AnswerFetch:
        return AnswerFetch(running, self._lines[flow.name], until=until, stays_until=stays_until)

    @property
    def may_call_any(self) -> bool:
        """Whether there is a flow that has its credentials, or needs none."""
        return any(line.may_be_called for line in self._lines.values())

    def move(self, flow: str, url: str) -> bool:
        """From the next attempt on, the flow is called at `url`; False where it is already."""
        return self._lines[flow].move(parse_url(url))

    def set_workers(self, workers: int) -> None:
        """How many workers, this one included, share what each flow takes."""
        for line in self._lines.values():
            line.gate.set_workers(workers)

    def takes_more(self, flow: str) -> bool:
        """Whether nothing but the number of workers bounds the calls of this flow."""
        return self._lines[flow].gate.takes_more

    def isolate(self, flow: str) -> None:
        """Keep a flow from being called until `reset`."""
        self._lines[flow].gate.isolate()

    def reset(self, flow: str) -> None:
        """Close a flow's circuit and forget what opened it."""
        self._lines[flow].gate.reset()

    def facts(self) -> dict[str, GateFacts]:
        return {name: line.gate.facts() for name, line in self._lines.items()}
