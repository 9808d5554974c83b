"""The flows as the bridge calls them."""

from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from worker.core.breaker import Circuit
from worker.core.flow_spec import FlowSpec
from worker.core.request import Call
from worker.flow.call import FlowCall, Line, TokenSource
from worker.flow.exchange import open_session
from worker.flow.gate import Gate
from worker.flow.polling import is_signed, parse_url


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowState:
    name: str
    circuit: Circuit
    reopens_in_s: float | None
    in_flight: int


class FlowClient:
    """One HTTP session and a gate per flow, from `async with` to its end. `tokens` belongs to the caller."""

    def __init__(self, flows: Iterable[FlowSpec], tokens: TokenSource) -> None:
        self._flows = tuple(flows)
        self._tokens = tokens
        self._lines: dict[str, Line] = {}

    async def __aenter__(self) -> Self:
        # Polling may need a second connection per call, to another host.
        connections = 2 * sum(flow.concurrency for flow in self._flows)
        self._session = open_session(connections=connections)
        self._lines = {flow.name: self._line(flow) for flow in self._flows}
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    def _line(self, flow: FlowSpec) -> Line:
        url = parse_url(flow.url)
        takes_token = flow.auth == "identity" and not is_signed(url)
        return Line(url=url, takes_token=takes_token, session=self._session, gate=Gate(flow), tokens=self._tokens)

    def start(self, call: Call) -> FlowCall:
        return FlowCall(call, self._lines[call.flow.name])

    def states(self) -> tuple[FlowState, ...]:
        return tuple(
            FlowState(
                name=name,
                circuit=line.gate.circuit(),
                reopens_in_s=line.gate.reopens_in_s(),
                in_flight=line.gate.in_flight,
            )
            for name, line in self._lines.items()
        )
