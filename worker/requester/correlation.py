"""Which caller waits for which answer, by the request's message id."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from worker.core.delivery import Delivery
from worker.core.typed_reply import TypedReply, read_reply

_REMEMBERED: Final = 10_000  # ended requests by which a late answer is told from a foreign one


class NoReply(Exception):
    """No answer arrived in time. `sent`: whether the broker is known to have the request, so that it may still run."""

    def __init__(self, detail: str, *, request_id: str, sent: bool) -> None:
        super().__init__(detail)
        self.request_id = request_id
        self.sent = sent


class BusRefused(Exception):
    """The bus refused the request, or the session for its answer, in a way that waiting won't change."""

    def __init__(self, detail: str, *, request_id: str) -> None:
        super().__init__(detail)
        self.request_id = request_id


@dataclass(frozen=True, slots=True, kw_only=True)
class RequesterStatistics:
    """`late`: answers whose caller had stopped waiting, repeats included; `foreign`: to questions never asked here."""

    waiting: int
    asked: int
    answered: int
    unanswered: int
    late: int
    foreign: int
    reconnects: int


class Correlation:
    """Ends each waiting caller at most once; answers that nobody waits for are counted and dropped."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Future[TypedReply]] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._asked = self._answered = self._late = self._foreign = 0

    def expect(self, request_id: str) -> asyncio.Future[TypedReply]:
        if request_id in self._waiting:
            raise ValueError(f"A request with the message id '{request_id}' is waiting already; each needs its own.")
        self._asked += 1
        self._ended.pop(request_id, None)
        future: asyncio.Future[TypedReply] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = future
        return future

    def end(self, request_id: str) -> None:
        """Its caller has an answer, or waits no longer."""
        future = self._waiting.pop(request_id)
        if not future.cancel() and not future.cancelled():
            future.exception()  # may have come while its caller was busy with something else; it counts as seen
        self._ended[request_id] = None
        if len(self._ended) > _REMEMBERED:
            self._ended.popitem(last=False)

    def answer(self, delivery: Delivery) -> bool:
        """True: nobody else waits for it."""
        request_id = delivery.correlation_id or ""
        future = self._waiting.get(request_id)
        if future is not None and not future.done():
            self._answered += 1
            future.set_result(read_reply(delivery, request_id=request_id))
        elif future is not None or request_id in self._ended:
            self._late += 1
        else:
            self._foreign += 1
        return True

    def refused(self, detail: str) -> None:
        self.fail_all(lambda request_id: BusRefused(detail, request_id=request_id))

    def fail_all(self, failure_of: Callable[[str], NoReply | BusRefused]) -> None:
        """`failure_of` a request id: what its caller is told."""
        for request_id, future in self._waiting.items():
            if not future.done():
                future.set_exception(failure_of(request_id))

    def statistics(self, *, reconnects: int) -> RequesterStatistics:
        return RequesterStatistics(
            waiting=len(self._waiting),
            asked=self._asked,
            answered=self._answered,
            unanswered=self._asked - self._answered - sum(not future.done() for future in self._waiting.values()),
            late=self._late,
            foreign=self._foreign,
            reconnects=reconnects,
        )
