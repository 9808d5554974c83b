"""What waits to be sent to one queue, and the writers that wait for it.

What waits for the same session goes out as one batch: the busier, the larger, and nobody waits for a batch to fill. How
a broker takes a batch of several sessions isn't known for every kind of queue, so there is none.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from worker.core.failures import BusFailure
from worker.core.reply import Undelivered
from worker.servicebus.outgoing import Outgoing
from worker.timers import Alarm

# A send takes a round trip. While one is under way the others are better left to make larger batches of what comes
# (each message then costs half the CPU), unless the broker is far away, or many sessions wait for their turn.
SLOW_S: Final = 0.01
SESSIONS_EACH: Final = 4


@dataclass(frozen=True, slots=True, eq=False)
class Parcel:
    """Something to send. `ended` holds None once the broker has accepted it."""

    outgoing: Outgoing
    ended: asyncio.Future[Undelivered | None]

    def end(self, undelivered: Undelivered | None) -> None:
        if not self.ended.done():  # the sender may have given up waiting
            self.ended.set_result(undelivered)


class Pile:
    """Times are on the loop's clock. `last_failure`: why sending failed, until it succeeds again; `misconfigured_at`:
    since when it fails for a reason that only people can remove.
    """

    def __init__(self) -> None:
        self.last_failure: BusFailure | None = None
        self.misconfigured_at: float | None = None
        self.sent = self.batches = 0
        self._by_session: OrderedDict[str | None, deque[Parcel]] = OrderedDict()  # oldest first
        self._idle: deque[asyncio.Future[None]] = deque()
        self._roused = 0  # that have not begun yet
        self._sending: dict[object, float] = {}  # since when, by writer
        self._alarm = Alarm(self._look_again)

    def put(self, parcel: Parcel, now: float) -> None:
        self._by_session.setdefault(parcel.outgoing.session_id, deque()).append(parcel)
        if self._needs_another(now):
            self.rouse_another()
        else:
            self._alarm.add(now + SLOW_S)

    def put_back(self, parcels: Sequence[Parcel]) -> None:
        """Of one session, and to the front."""
        pending = [parcel for parcel in parcels if not parcel.ended.done()]
        if pending:
            session_id = pending[0].outgoing.session_id
            self._by_session.setdefault(session_id, deque()).extendleft(reversed(pending))
            self._by_session.move_to_end(session_id, last=False)

    def begin(self, writer: object, now: float, *, most: int) -> list[Parcel]:
        """All that waits for the session whose turn it is, to be sent by `writer` now; none where nothing waits."""
        while self._by_session:
            session_id, queued = self._by_session.popitem(last=False)
            parcels = [queued.popleft() for _ in range(min(len(queued), most))]
            if queued:
                self._by_session[session_id] = queued
            if parcels := [parcel for parcel in parcels if not parcel.ended.done()]:
                self._sending[writer] = now
                if self._by_session:
                    self._alarm.add(now + SLOW_S)
                return parcels
        return []

    def end(self, writer: object) -> None:
        """What it had begun."""
        self._sending.pop(writer, None)

    async def wait(self) -> None:
        """Until there is something to do."""
        idle = asyncio.get_running_loop().create_future()
        self._idle.append(idle)
        try:
            await idle
            self._roused -= 1
        except asyncio.CancelledError:
            if idle.done() and not idle.cancelled():  # roused at the very moment: somebody else has to go
                self._roused -= 1
                self.rouse_another()
            raise
        finally:
            if idle in self._idle:
                self._idle.remove(idle)

    def rouse_another(self) -> None:
        while self._idle:
            idle = self._idle.popleft()
            if not idle.done():
                self._roused += 1
                idle.set_result(None)
                return

    def rouse_all(self) -> None:
        while self._idle:
            self.rouse_another()

    def forget_ended(self) -> None:
        """Whose caller gave up; in a long outage they would pile up."""
        for session_id, queued in list(self._by_session.items()):
            self._by_session[session_id] = pending = deque(parcel for parcel in queued if not parcel.ended.done())
            if not pending:
                del self._by_session[session_id]

    def refuse_all(self, failure: BusFailure) -> None:
        for queued in self._by_session.values():
            for parcel in queued:
                parcel.end(Undelivered(detail=str(failure)))
        self._by_session.clear()

    def _needs_another(self, now: float) -> bool:
        at_work = len(self._sending) + self._roused
        if at_work == 0 or len(self._by_session) > SESSIONS_EACH * at_work:
            return True
        return self._roused == 0 and now - min(self._sending.values()) >= SLOW_S

    def _look_again(self) -> None:
        """What still waits waits for sends that take long."""
        now = asyncio.get_running_loop().time()
        if self._by_session and self._needs_another(now):
            self.rouse_another()
        if self._by_session and self._idle:
            self._alarm.add(now + SLOW_S)
