"""`flowbridge demo`: the whole bridge on loopback, with nothing to set up."""

import asyncio
import shlex
import statistics
import time
from typing import TYPE_CHECKING, Annotated, Final

import typer

from worker.cli.failure import OTHERWISE
from worker.cli.options import in_loop, until_stopped

if TYPE_CHECKING:
    from worker.cli.demonstration.scenarios import Seen
    from worker.cli.demonstration.screen import Screen
    from worker.cli.demonstration.stage import Stage
    from worker.requester import Requester

EXAMPLES: Final = """
  flowbridge request --flow echo --content-type application/json --body '{"hello": "flow"}'
  flowbridge request --flow discount --json
"""


def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave all of it running afterwards, and print how to reach it.")
    ] = False,
) -> None:
    """Start broker, flows, identity and worker on this machine, send Dataverse requests and show each answer.

    Needs no settings and no network, and ends by itself in a few seconds.

    \b
    Example:
      flowbridge demo --keep

    Exit status: 0 when every answer was as expected.
    """  # noqa: D301 - click keeps the lines of a paragraph after \b
    from worker import logs

    logs.configure("error")
    raise typer.Exit(in_loop(_demo(keep=keep)))


async def _demo(*, keep: bool) -> int:
    from worker.cli.caller import requester_of
    from worker.cli.demonstration.scenarios import FLOWS, ROUTES, ask_echo, questions
    from worker.cli.demonstration.screen import Screen
    from worker.cli.demonstration.stage import set_up

    asked = questions()
    screen = Screen(asked)
    screen.say("Starting the embedded broker, the stand-ins for flows and identity, and the worker on loopback …")
    async with set_up(FLOWS, ROUTES) as stage:
        async with requester_of(stage.settings) as requester:
            await ask_echo(requester, 0)  # the links are opened with the first request
            with screen:
                answered = await _ask_each(requester, screen)
            burst_s, burst = await _burst(requester)
            wrong = _summary(screen, answered, burst, burst_s)
            if not keep:
                stage.stop.request()  # drains while the requester closes
        if keep:
            _tell_addresses(screen, stage)
            with until_stopped() as stopped:
                await stopped.wait()
    return OTHERWISE if wrong else 0


async def _ask_each(requester: "Requester", screen: "Screen") -> "list[Seen]":
    from worker.cli.demonstration.scenarios import ask

    seen = []
    for answering in asyncio.as_completed([ask(requester, question) for question in screen.asked]):
        seen.append(await answering)
        screen.show(seen[-1])
    return seen


async def _burst(requester: "Requester") -> "tuple[float, list[Seen]]":
    from worker.cli.demonstration.scenarios import AT_ONCE, BURST, Seen, ask_echo

    places = asyncio.Semaphore(AT_ONCE)

    async def ask_in_turn(number: int) -> Seen:
        async with places:
            return await ask_echo(requester, number)

    started = time.perf_counter()
    seen = await asyncio.gather(*map(ask_in_turn, range(BURST)))
    return time.perf_counter() - started, seen


def _summary(screen: "Screen", answered: "list[Seen]", burst: "list[Seen]", burst_s: float) -> int:
    """How many answers were wrong."""
    from worker.cli.demonstration.scenarios import AT_ONCE

    own = sum(seen.wrong is None for seen in burst)
    times_ms = [seen.elapsed_ms for seen in burst]
    p50_ms, p99_ms = (statistics.quantiles(times_ms, n=100)[index] for index in (49, 98))
    screen.say(
        f"\n{len(burst)} requests, {AT_ONCE} at a time: {own} got the answer to their own question in {burst_s:.2f} s "
        f"({len(burst) / burst_s:.0f}/s, p50 {p50_ms:.0f} ms, p99 {p99_ms:.0f} ms; the flow itself takes 50 ms)"
    )
    wrong = [seen for seen in (*answered, *burst) if seen.wrong is not None]
    for seen in wrong[:10]:
        screen.say(f"WRONG  {seen.title}: {seen.wrong}")
    total = len(answered) + len(burst)
    screen.say(
        f"All {total} answers were as expected." if not wrong else f"{len(wrong)} of {total} answers were wrong."
    )
    return len(wrong)


def _tell_addresses(screen: "Screen", stage: "Stage") -> None:
    bus = f"export FLOWBRIDGE_SERVICEBUS__CONNECTION_STRING={shlex.quote(stage.connection_string)}"
    screen.say(
        "\nEverything stays up until Ctrl-C:\n"
        f"  broker    {stage.connection_string}\n"
        f"  worker    {stage.worker_url}/ (its status page)  {stage.worker_url}/readyz  {stage.worker_url}/status\n"
        f"  flows     {stage.flows_url}\n"
        f"  identity  {stage.identity_url}\n"
        "\nIn another terminal:\n"
        f"  {bus}{EXAMPLES}"
    )
