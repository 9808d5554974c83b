"""What a stranger knows of every request, and the laws that he holds the workers to (contract, section 7)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from worker.core.delivery import Delivery
from worker.core.flow_spec import FlowSpec
from worker.core.outcome import FlowOutcome, Reason, Running
from worker.core.reply import Reply, Undelivered
from worker.core.settlement import Complete, DeadLetter, Settlement

CALLER: Final = "caller"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A request. What its flow makes of each call, and the queue of each reply; the last `ending` is for all after.

    `in_line_s`: how long a call waits for its turn before the flow hears of it.
    """

    flow: FlowSpec
    session: str | None = None
    has_caller: bool = True
    timeout_s: float = 90.0
    in_line_s: float = 0.0
    takes_s: float = 0.0
    endings: tuple[FlowOutcome | Running | Exception, ...]
    reply_takes_s: float = 0.0
    reply_says: tuple[Undelivered | Exception | None, ...] = ()


@dataclass(slots=True, eq=False)
class Attempt:
    """A request that reached the flow. `may_have_run` until it is known that it didn't."""

    by: object
    may_have_run: bool = True


@dataclass(slots=True, kw_only=True, eq=False)
class Entry:
    """One request over all its messages. `alive` are those on the queue, or scheduled.

    `is_forked`: a copy and its original were both there to be worked on, which a crash or a lost word can lead to.
    `deliveries`: how often it was handed out, or counted although it wasn't.
    `is_disturbed`: the work on it has ended without the word that ends it.
    `is_unaware`: a worker could not know that its lock had ended, and goes on for a while.
    """

    name: str
    ask: Ask
    alive: int = 0
    attempts: list[Attempt] = field(default_factory=list)
    defects: set[object] = field(default_factory=set)  # the workers that failed on it
    publishings: int = 0
    replies: list[Reply] = field(default_factory=list)  # visible to its caller
    reply_ids: set[str] = field(default_factory=set)
    is_answered: bool = False  # by its flow
    is_dead_lettered: bool = False
    is_forked: bool = False
    is_disturbed: bool = False
    deliveries: int = 0
    is_unaware: bool = False

    def may_have_run(self) -> bool:
        return any(attempt.may_have_run for attempt in self.attempts)

    def is_done(self) -> bool:
        return self.is_dead_lettered or bool(self.replies if self.ask.has_caller else self.is_answered)


@dataclass(slots=True, kw_only=True)
class Ledger:
    """`breaks` is told each law that doesn't hold, in words."""

    breaks: Callable[[str], None]
    drops_repeats: bool
    entries: dict[str, Entry] = field(default_factory=dict)  # by request id

    def begins(self, entry: Entry, by: object, held: list[Delivery]) -> Attempt:
        """`held`: the deliveries of the request that the calling worker has in hand."""
        self._in_order(entry, "called")
        if not entry.ask.flow.idempotent:
            self._second_call(entry, by, held)
        attempt = Attempt(by)
        entry.attempts.append(attempt)
        return attempt

    def tells(self, entry: Entry, reply: Reply) -> None:
        """A worker begins to publish it. What begins only now, it need not know."""
        self._in_order(entry, "answered")
        outcome = reply.properties["outcome"]
        if outcome == "answered" and not entry.is_answered:
            self.breaks(f"{entry.name} is called answered, but its flow has not answered")
        claims_no_run = outcome in {"unavailable", "expired"} and not entry.ask.flow.idempotent
        is_excused = entry.is_forked or entry.is_unaware or entry.replies
        if claims_no_run and not is_excused and entry.may_have_run():
            self.breaks(f"the caller of {entry.name} is told {outcome}, but its flow may have run")

    def replied(self, entry: Entry, reply: Reply) -> bool:
        """Whether the caller sees it: duplicate detection drops what it had before."""
        if reply.to.session_id != f"{CALLER}-{entry.name}" or reply.correlation_id != entry.name:
            self.breaks(f"a reply goes to its caller and names the request; that of {entry.name} went elsewhere")
        is_repeat = self.drops_repeats and reply.message_id in entry.reply_ids
        entry.reply_ids.add(reply.message_id)
        if not is_repeat:
            entry.replies.append(reply)
        if len(entry.reply_ids) > 1:
            self.breaks(f"every reply to {entry.name} is the same message; it has {len(entry.reply_ids)} ids")
        return not is_repeat

    def settled(self, entry: Entry, settlement: Settlement | None) -> None:
        """A message of the request has left the queue; None: the broker's own doing."""
        self._in_order(entry, "settled")
        entry.alive -= 1
        if not isinstance(settlement, Complete):
            entry.is_dead_lettered = True
        if isinstance(settlement, DeadLetter):
            if not settlement.description:
                self.breaks(f"a dead letter says why; {entry.name} has no description")
            if entry.ask.has_caller and settlement.reason is not Reason.REPLY_UNDELIVERABLE:
                self.breaks(f"the request of a caller is answered, not dead-lettered: {entry.name}")
        if not entry.is_done() and entry.alive == 0:
            ended = "answered" if entry.ask.has_caller else "answered by its flow"
            self.breaks(f"{entry.name} is lost: completed before it was {ended}, and no copy goes on with it")

    def close(self) -> None:
        """Nothing is left on the queue."""
        for entry in self.entries.values():
            if not entry.is_done():
                self.breaks(f"every request ends: {entry.name} was neither answered nor dead-lettered")
            if self.drops_repeats and len(entry.replies) > 1:
                self.breaks(f"one visible answer at most: {entry.name} has {len(entry.replies)}")

    def _in_order(self, entry: Entry, what: str) -> None:
        """Nothing begins in a session before all that came earlier has left the queue, or after that itself did."""
        if entry.ask.session is None:
            return
        if not (entry.alive or entry.is_unaware):
            self.breaks(f"what has left its session is over; {entry.name} is {what}")
        for earlier in self.entries.values():
            if earlier is entry:
                return
            if earlier.ask.session == entry.ask.session and earlier.alive:
                self.breaks(
                    f"in a session one comes after the other; {entry.name} is {what} before {earlier.name} ended"
                )

    def _second_call(self, entry: Entry, by: object, held: list[Delivery]) -> None:
        name, flow = entry.name, entry.ask.flow
        if any(attempt.by is by and attempt.may_have_run for attempt in entry.attempts):
            self.breaks(f"the worker that may have made {name} run never calls again for it; {by} does")
        if flow.after_crash == "indeterminate" and held and all(delivery.is_redelivered for delivery in held):
            self.breaks(f"flow {flow.name} is not called for what was delivered before; {by} calls it for {name}")
        is_noted = entry.ask.session is not None and flow.after_crash == "indeterminate"  # so that anyone can know
        if not entry.may_have_run() or (entry.is_unaware and not is_noted):
            return
        if flow.after_crash == "indeterminate":
            self.breaks(f"flow {flow.name} is never called twice; {by} calls it for {name}, which may have run")
        elif not (entry.is_forked or any(delivery.is_redelivered for delivery in held)):
            self.breaks(f"{name} may have run at another worker, and no crash is the reason for {by} to call again")
