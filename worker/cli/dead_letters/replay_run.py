"""A replay from its plan to what came of it."""

from dataclasses import replace
from typing import Final

from worker.cli.dead_letters.journal_file import JournalFile, JournalUnwritable
from worker.cli.dead_letters.options import Place
from worker.cli.dead_letters.progress import bar, on_interrupt, said_contact
from worker.cli.dead_letters.replay_asked import Asked
from worker.cli.dead_letters.replay_report import Done
from worker.cli.dead_letters.source import Seen
from worker.cli.dead_letters.words import counted, say
from worker.cli.failure import CommandFailed
from worker.core.dead_letters.journal import History, Mark, last_sent
from worker.core.dead_letters.pace import Pace
from worker.core.dead_letters.selection import Plan, is_untouched, planned
from worker.servicebus.clearing import LARGEST_WINDOW, Clearing, lanes_for
from worker.servicebus.connect import Bus, Source
from worker.servicebus.dead_letters import dead_letters_of
from worker.servicebus.replaying import Replay, arrived
from worker.servicebus.resending import Resender
from worker.settings import Settings

_IN_HAND_S: Final = 1.0  # within which what is locked is sent and completed, where a rate holds it back


def target_of(settings: Settings, place: Place) -> str:
    """Never a topic: its other subscriptions would get the copies, too."""
    bus = settings.servicebus
    if place.queue is not None and place.queue.casefold() in {queue.casefold() for queue in bus.reply_queues}:
        raise CommandFailed(
            f"'{place.queue}' is a reply queue: what lies there are answers, which no flow can be called with. "
            "List, show and purge them."
        )
    if bus.request_topic is None:
        return bus.request_queue
    if bus.retry_queue is None:
        raise CommandFailed(
            "Requests come from a topic, where other subscriptions would get the copies, too. Set "
            "servicebus.retry_queue to a queue that this worker reads."
        )
    return bus.retry_queue


async def planned_now(bus: Bus, found: Seen, history: History, *, to: str, asked: Asked) -> Plan:
    plan = planned(
        found.letters,
        history,
        asked=str(asked.selection),
        even_if_it_ran=asked.even_if_it_ran,
        most=asked.most,
    )
    if plan.doubtful:
        last = last_sent(history.steps)
        there = await arrived(bus, to, [*last, *(letter.copy_id for letter in plan.doubtful.values())])
        plan.resolve(there, is_untouched=is_untouched(last, there))
    return plan


async def carried_out(
    bus: Bus, settings: Settings, source: Source, plan: Plan, *, to: str, journal: JournalFile, asked: Asked
) -> Done:
    """From its mark in the journal to the one that it is done, if it is."""
    done, this = Done(), str(asked.selection)
    try:
        if plan.chosen or plan.sent:
            journal.mark(Mark.BEGUN, this)
            done = await _sent_and_completed(bus, settings, source, plan, to=to, journal=journal, asked=asked)
        if done.is_finished:
            journal.mark(Mark.DONE, this)
    except JournalUnwritable as unwritable:
        done = replace(done, failure=str(unwritable))
    return done


async def _sent_and_completed(
    bus: Bus, settings: Settings, source: Source, plan: Plan, *, to: str, journal: JournalFile, asked: Asked
) -> Done:
    chosen, lock_s = [*plan.chosen, *plan.sent], settings.servicebus.lock_s
    # Several lanes would mix up the order of a session.
    lanes = 1 if settings.servicebus.request_sessions else lanes_for(len(chosen))
    lanes, window = _shape(lanes, asked.rate_per_s)
    contact, failure = said_contact(), None
    async with Resender(bus, to) as resender:
        with bar("replaying", len(chosen)) as advance:
            work = Replay(
                bus,
                resender,
                queue=to,
                plan=plan,
                journal=journal,
                pace=Pace(asked.rate_per_s, bus.limits.loop.time()),
                contact=contact,
                to_flow=asked.to_flow,
                on_completed=advance,
                on_locked=lambda count: _say_locked(count, lock_s),
            )
            clearing = Clearing(
                bus,
                dead_letters_of(source),
                chosen=chosen,
                work=work,
                contact=contact,
                lanes=lanes,
                window=window,
                lock_s=lock_s,
            )

            def stop() -> None:
                work.stop()
                clearing.stop()

            with on_interrupt(stop) as interrupted:
                try:
                    await clearing.run()
                except JournalUnwritable as unwritable:
                    failure = str(unwritable)
    cleared = clearing.cleared
    if failure is None and cleared.failure is not None:
        failure = str(cleared.failure)
    return Done(
        completed=cleared.completed | (cleared.gone & (work.sent | plan.sent.keys())),
        sent=work.sent,
        failed=work.failed,
        in_doubt=work.in_doubt,
        gone=cleared.gone - work.sent - plan.sent.keys(),
        left=cleared.left - work.in_doubt,
        failure=failure,
        is_interrupted=interrupted.is_set(),
    )


def _shape(lanes: int, rate_per_s: float | None) -> tuple[int, int]:
    """Lanes, `lanes` at most, and their windows."""
    if rate_per_s is None:
        return lanes, LARGEST_WINDOW
    in_hand = max(1, int(rate_per_s * _IN_HAND_S))
    lanes = min(lanes, in_hand)
    return lanes, max(1, min(LARGEST_WINDOW, in_hand // lanes))


def _say_locked(count: int, lock_s: float) -> None:
    """By a replay that was killed, say."""
    say(f"Waiting for {counted(count, 'dead letter')} locked by somebody else, for {lock_s:g} s at most.", err=True)
