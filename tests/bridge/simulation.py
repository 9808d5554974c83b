"""A request queue, callers, flows and a few workers in virtual time, and whatever can go wrong with them.

No sockets, no waiting: the same loop serves them all. Faults are methods, called from a schedule or a rule; each
happening goes into the transcript, and the first law that doesn't hold ends the simulation.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from worker.bridge.process import BridgeSpec
from worker.core.decode import request_id_of
from worker.core.delivery import Delivery
from worker.core.failures import BusFailure
from worker.core.redelivery import Copy, RedeliverySpec
from worker.core.reply import Reply, Undelivered
from worker.core.settlement import Settlement

from .fake_queue import BROKER, Counted, FakeQueue, Message
from .fake_sessions import FakeSessionQueue
from .ledger import CALLER, Ask, Entry, Ledger
from .simulated_lanes import Held, SimulatedLink
from .simulated_worker import DRAIN_S, LAST_WORDS_S, LATE, SimulatedWorker
from .transcript import LawBrokenError, Saw, Transcript
from .virtual_time import STARTS_AT, BusyLoopError, DeadlockError, VirtualTimeLoop
from .world import SPEC

HORIZON_S: Final = 600.0  # by then healthy workers have brought everything to its end
MAX_DELIVERIES: Final = 5
_EPOCH_MS: Final = 1_700_000_000_000


class Simulation:
    """`posts`: places for one worker each, where another one can follow. `is_ordered`: the queue has sessions.

    `watches` is called after each happening of a worker. Close it at the end.
    """

    def __init__(
        self,
        *,
        posts: int = 1,
        lanes: int = 1,
        concurrency: int = 4,
        lock_s: float = 20.0,
        drops_repeats: bool = True,
        is_ordered: bool = False,
    ) -> None:
        self.loop = VirtualTimeLoop()
        self.loop.set_exception_handler(self._fails)
        self.is_ordered = is_ordered
        redelivery = RedeliverySpec(delays_s=(2.0, 5.0), max_age_s=40.0, is_in_place=is_ordered)
        self.spec: BridgeSpec = replace(SPEC, redelivery=redelivery)
        self.transcript = Transcript()
        self.ledger = Ledger(breaks=self.breaks, drops_repeats=drops_repeats)
        queue = FakeSessionQueue if is_ordered else FakeQueue
        self.queue = queue(lock_s=lock_s, max_delivery_count=MAX_DELIVERIES, on_end=self._ends, on_count=self._counts)
        self.replies_back_at = 0.0
        self.copies_say: Undelivered | None = None
        self._strikes: list[Callable[[int], None]] = []  # of holders to come
        self.watches: Callable[[SimulatedWorker], None] = lambda _worker: None
        self._lanes = lanes
        self._concurrency = concurrency
        self._unconfirmed = 0
        self._broken: str | None = None
        self._error: BaseException | None = None  # of our own
        self._names: dict[int, str] = {}  # by sequence number
        self._copies: dict[str, Copy] = {}  # by message id
        self._copied: set[int] = set()
        self._is_quiet = False
        self._started = 0
        self._workers: list[SimulatedWorker] = []
        self.posts = [self._worker() for _ in range(posts)]

    # time

    def advance(self, seconds: float) -> None:
        self._run_until(self.loop.time() + seconds)

    def do(self, happens: Callable[[], object]) -> None:
        """Now; and what follows of it at once."""
        self.loop.call_soon(happens, context=BROKER)
        self.advance(0.0)

    def at(self, when: float, happens: Callable[[], object]) -> None:
        """`when`: seconds after the start."""
        self.loop.call_at(STARTS_AT + when, happens, context=BROKER)

    def after(self, seconds: float, happens: Callable[[], object]) -> None:
        self.loop.call_later(seconds, happens, context=BROKER)

    @property
    def is_broken(self) -> bool:
        return self._broken is not None

    @property
    def elapsed_s(self) -> float:
        return self.loop.time() - STARTS_AT

    def settle_down(self) -> None:
        """Nothing goes wrong any more: everything comes to its end, and the workers to theirs."""
        self.do(self._heal)
        if all(worker.is_leaving for worker in self.posts):
            self.posts[0] = self._worker()
        limit = self.loop.time() + HORIZON_S
        while not self._is_drained() and self.loop.time() < limit:
            self._run_until(limit)
        if not self._is_drained():
            self._break("every request that a worker receives ends; some are still on the queue")
        self.ledger.close()
        for worker in self.posts:
            if not worker.is_leaving:
                worker.stop()
        limit = self.loop.time() + DRAIN_S + LAST_WORDS_S + self.queue.lock_s + 5.0
        while (at_work := self._at_work()) and self.loop.time() < limit:
            self._run_until(limit)
        if at_work:
            self._break(f"with its last lock a worker has nothing left to do; {at_work[0]} goes on")
        self._raise_broken()

    def close(self) -> None:
        self._is_quiet = True  # no worker follows
        for worker in self._workers:
            if not worker.task.done():
                worker.is_dead = True
                self.loop.release(worker)
                worker.task.cancel()
        while self._at_work():
            self.loop.run_until(self.loop.time() + 1.0)
        for worker in self._workers:
            if not worker.task.cancelled():
                worker.task.exception()  # told of before
        self.loop.close()

    def _run_until(self, when: float) -> None:
        self._raise_broken()
        try:
            self.loop.run_until(when)
        except DeadlockError:
            raise LawBrokenError("everybody waits, and nothing will ever happen", self.transcript) from None
        except BusyLoopError as busy:
            raise LawBrokenError(f"time passes; now {busy}", self.transcript) from busy
        self._raise_broken()
        if self._error is not None:
            raise self._error
        for worker in self._workers:
            if worker.task.done() and not worker.task.cancelled() and (error := worker.task.exception()):
                raise LawBrokenError(f"{worker} ended by {error!r}", self.transcript) from error

    # what is asked for, and what goes wrong

    def send(self, ask: Ask) -> None:
        name = f"m-{len(self.ledger.entries) + 1}"
        number = self._number(name)
        self.ledger.entries[name] = Entry(name=name, ask=ask, alive=1)
        caller = f"{CALLER}-{name}" if ask.has_caller else None
        self.tell(Saw.SENT, ask.session or "queue", name, ask.flow.name, caller or "nobody who waits")
        self.queue.put(self._delivery(name, number, ask, caller))

    def lose_lock(self, nth: int) -> None:
        """Of the nth of the messages that are locked."""
        locked = [message for message in self.queue.messages if message.is_locked()]
        if locked:
            self.queue.lose_lock(locked[nth % len(locked)].delivery.sequence_number)

    def break_link(
        self, post: int, lane: int, failure: BusFailure, *, applies_unconfirmed: bool, is_noticed: bool = False
    ) -> SimulatedLink | None:
        worker = self._at(post)
        if worker is None:
            return None
        broken = worker.lanes[lane % len(worker.lanes)]
        self.tell(Saw.LINK_LOST, broken, f"{failure}, as the broker notices" if is_noticed else failure)
        broken.applies_unconfirmed = applies_unconfirmed
        broken.fail(failure, is_noticed=is_noticed)
        return broken

    def restore_link(self, lane: SimulatedLink) -> None:
        if lane.outage is not None:
            self.tell(Saw.LINK_BACK, lane)
            lane.recover()

    def leave_unconfirmed(self, settlements: int) -> None:
        """The next ones."""
        self._unconfirmed += settlements

    def send_replies_away(self, lasts_s: float) -> None:
        self.tell(Saw.REPLIES_AWAY, lasts_s)
        self.replies_back_at = self.loop.time() + lasts_s

    def say_of_copies(self, said: Undelivered | None) -> None:
        self.tell(
            Saw.COPIES_SAY, "confirmed" if said is None else "taken but unconfirmed" if said is LATE else "refused"
        )
        self.copies_say = said

    def kill(self, post: int, *, is_heard: bool) -> None:
        if (worker := self._at(post)) is not None:
            worker.kill(is_heard=is_heard)

    def strike_next_holder(self, strike: Callable[[int], None]) -> None:
        """By its post."""
        self._strikes.append(strike)

    def stop(self, post: int) -> None:
        worker = self._at(post)
        if worker is not None and not worker.is_stopping:
            worker.stop()

    def start(self, post: int) -> None:
        """Another worker where one is dead or gone, or on its way out."""
        worker = self.posts[post % len(self.posts)]
        if not self._is_quiet and worker.is_leaving:
            self.posts[post % len(self.posts)] = self._worker()

    def freeze(self, post: int) -> SimulatedWorker | None:
        worker = self._at(post)
        if worker is not None and not worker.is_frozen:
            worker.freeze()
        return worker

    def thaw(self, post: int) -> None:
        if (worker := self._at(post)) is not None:
            worker.thaw()

    def pause(self, post: int, *, is_paused: bool) -> None:
        if (worker := self._at(post)) is not None:
            worker.pause(is_paused=is_paused)

    def _at(self, post: int) -> SimulatedWorker | None:
        worker = self.posts[post % len(self.posts)]
        return None if self._is_quiet or worker.is_dead or worker.task.done() else worker

    def _worker(self) -> SimulatedWorker:
        self._started += 1
        worker = SimulatedWorker(self, f"worker-{self._started}", lanes=self._lanes, concurrency=self._concurrency)
        self._workers.append(worker)
        worker.task.add_done_callback(lambda _task: self.loop.stop() if self._is_quiet else None)
        self.tell(Saw.STARTED, worker)
        return worker

    def _heal(self) -> None:
        self.tell(Saw.QUIET)
        self._is_quiet = True
        self._unconfirmed = 0
        self._strikes.clear()
        self.replies_back_at = 0.0
        self.copies_say = None
        for worker in self._workers:
            worker.thaw()
            if worker.pump.facts.is_paused and not worker.is_dead:
                worker.pause(is_paused=False)
            for lane in worker.lanes:
                self.restore_link(lane)

    # the broker, as the workers find it

    def confirms(self) -> bool:
        """The next settlement."""
        if self._unconfirmed:
            self._unconfirmed -= 1
            return False
        return True

    def take(self, copy: Copy, entry: Entry, *, by: SimulatedWorker) -> None:
        """Duplicate detection drops what it had before."""
        if copy.message_id in self._copies:
            self.tell(Saw.COPY_DROPPED, by, entry.name, by=by)
            return
        name = f"{entry.name}/{sum(request_id_of(one.original) == entry.name for one in self._copies.values()) + 1}"
        tries = copy.properties.get("delivery-attempt", 0)
        self.tell(Saw.COPY_TAKEN, by, name, copy.delay_s, tries, by=by)
        self._copies[copy.message_id] = copy
        self._copied.add(copy.original.sequence_number)
        entry.alive += 1
        self.loop.call_later(copy.delay_s, self._put_copy, copy, name, context=BROKER)

    def accept(self, reply: Reply, entry: Entry, *, by: SimulatedWorker, is_confirmed: bool = True) -> None:
        facts = entry.name, reply.to.session_id, by, reply.properties["outcome"]
        is_repeat = self.ledger.drops_repeats and reply.message_id in entry.reply_ids
        saw = Saw.REPLY_DROPPED if is_repeat else Saw.REPLIED if is_confirmed else Saw.REPLY_UNHEARD
        self.tell(saw, *facts, by=by)
        self.ledger.replied(entry, reply)

    def handed_out(self, delivery: Delivery) -> Entry:
        entry = self.entry_of(delivery)
        original = self._copies.get(delivery.message_id or "")
        if delivery.sequence_number in self._copied or (
            original is not None and self._is_on_queue(original.original.sequence_number)
        ):
            entry.is_forked = True
        return entry

    def entry_of(self, delivery: Delivery) -> Entry:
        return self.ledger.entries[request_id_of(delivery)]

    def name_of(self, delivery: Delivery) -> str:
        return self._names[delivery.sequence_number]

    def _put_copy(self, copy: Copy, name: str) -> None:
        original, now = copy.original, self.loop.time()
        self.tell(Saw.COPY_DUE, name)
        self.queue.put(
            replace(
                original,
                sequence_number=self._number(name),
                delivery_count=0,
                enqueued_at=now,
                enqueued_time_ms=_epoch_ms(now),
                message_id=copy.message_id,
                time_to_live_s=copy.time_to_live_s,
                properties=copy.properties,
            )
        )

    def _is_on_queue(self, sequence_number: int) -> bool:
        return any(message.delivery.sequence_number == sequence_number for message in self.queue.messages)

    def _number(self, name: str) -> int:
        number = len(self._names) + 1
        self._names[number] = name
        return number

    def _delivery(self, name: str, number: int, ask: Ask, caller: str | None) -> Delivery:
        now = self.loop.time()
        return Delivery(
            lock_token="",
            sequence_number=number,
            delivery_count=0,
            enqueued_at=now,
            enqueued_time_ms=_epoch_ms(now),
            locked_until=0.0,
            message_id=name,
            correlation_id=None,
            session_id=ask.session,
            reply_to=None if caller is None else "flow-replies",
            reply_to_session_id=caller,
            content_type="text/plain",
            subject=None,
            to=None,
            partition_key=None,
            time_to_live_s=None,
            body=b"hello",
            properties={"flow": ask.flow.name, **({} if caller is None else {"timeout-s": ask.timeout_s})},
        )

    def _ends(self, delivery: Delivery, settlement: Settlement | None) -> None:
        if settlement is None:
            self.tell(Saw.MAX_DELIVERIES, self.name_of(delivery))
        self.ledger.settled(self.entry_of(delivery), settlement)
        if self._is_quiet and self._is_drained():
            self.loop.stop()

    def _counts(self, lock_token: str, message: Message, why: Counted) -> None:
        """The delivery count grows: somebody gave it back, lost his link, stood still or died."""
        self.entry_of(message.delivery).is_disturbed = True
        if self._held(lock_token, message.delivery.sequence_number) is None:
            self.entry_of(message.delivery).deliveries += 1
        if why is Counted.ABANDONED:
            return
        delivery = message.delivery
        held = self._held(lock_token, delivery.sequence_number)
        saw = Saw.LOCK_TAKEN if why is Counted.TAKEN else Saw.LOCK_EXPIRED
        self.tell(saw, self.name_of(delivery), "nobody who lives" if held is None else held.lane)
        is_sudden = why is Counted.TAKEN or any(worker.is_frozen for worker in self._at_work())
        self.entry_of(delivery).is_unaware |= is_sudden
        granted_at = message.locked_until - self.queue.lock_s
        if why is Counted.EXPIRED and held is not None and not held.lane.may_lose(held, granted_at=granted_at):
            name = self.name_of(delivery)
            self.breaks(f"a lock is renewed while its request is worked on; {held.lane} let that on {name} end")

    def accepts(self, worker: SimulatedWorker) -> None:
        """It holds a session."""
        if self._strikes and worker in self.posts:
            self.loop.call_soon(self._strikes.pop(0), self.posts.index(worker), context=BROKER)

    def check_idle_lanes(self) -> None:
        """No session waits for long while a lane holds none."""
        waits_s = self.queue.longest_wait_s() if isinstance(self.queue, FakeSessionQueue) else 0.0
        for worker in self._at_work() if waits_s else ():
            for lane in worker.session_lanes:
                if lane.lets_wait(waits_s):
                    self.breaks(f"no session waits while a lane is idle; {lane} lets one wait for {waits_s:.2f} s")

    def _held(self, lock_token: str, sequence_number: int) -> Held | None:
        found = (worker.find(lock_token, sequence_number) for worker in self._workers if not worker.is_dead)
        return next((held for held in found if held is not None), None)

    def _is_drained(self) -> bool:
        return not any(entry.alive for entry in self.ledger.entries.values())

    def _at_work(self) -> list[SimulatedWorker]:
        return [worker for worker in self._workers if not worker.task.done()]

    # what is told

    def tell(self, saw: Saw, *facts: Any, by: SimulatedWorker | None = None) -> None:
        self.transcript.add(self.loop.time(), saw, *facts)
        if by is not None and not self._is_quiet:
            self.watches(by)

    def breaks(self, law: str) -> None:
        """The first counts; raised here, it would count as a defect of the bridge's."""
        if self._broken is None:
            self._broken = law
            self.tell(Saw.BROKEN, law)
            self.loop.stop()

    def _fails(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self._error = self._error or context.get("exception") or RuntimeError(context["message"])
        self.loop.stop()

    def counts(self) -> Counter[Saw]:
        return self.transcript.counts()

    def _break(self, law: str) -> None:
        self.breaks(law)
        self._raise_broken()

    def _raise_broken(self) -> None:
        if self._broken is not None:
            raise LawBrokenError(self._broken, self.transcript)


def _epoch_ms(now: float) -> int:
    return _EPOCH_MS + round((now - STARTS_AT) * 1000)
