"""All that is looked at, in order."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from worker.app import bus_options, credential_of
from worker.cli.finding import Finding, Section, Verdict, failed
from worker.cli.options import settings_from
from worker.cli.preflight.entities import azure as azure_of
from worker.cli.preflight.limits import limits, shares
from worker.cli.preflight.queues import queues
from worker.cli.preflight.rights import rights
from worker.cli.preflight.round_trip import round_trip as made_round_trip
from worker.cli.preflight.times import times
from worker.cli.preflight.tokens import tokens
from worker.cli.probe_flow import probe_flow
from worker.cli.sizing_findings import sizing_findings
from worker.flow.token import Credential
from worker.servicebus.connect import Bus
from worker.settings import Problem, Settings, SettingsInvalid


async def sections(
    config: Path | None,
    *,
    round_trip: bool,
    probe_flows: Iterable[str],
    announce: Callable[[Sequence[str]], None],
    shows_commands: bool,
) -> AsyncIterator[Section]:
    """As they come; the cheap ones first. What needs a token waits for the token. `announce` is told which flows are
    about to be called.
    """
    try:
        settings = settings_from(config)
    except SettingsInvalid as invalid:
        yield Section(title="settings", findings=tuple(map(_refused, invalid.problems)))
        return
    yield Section(title="at once", findings=(*limits(settings), await shares(settings)))
    yield Section(title="time", findings=tuple(times(settings)))
    yield Section(title="load", findings=tuple(sizing_findings(settings)))
    async with AsyncExitStack() as stack:
        credential = await stack.enter_async_context(credential_of(settings))
        held = await tokens(settings, credential, os.environ)
        azure = azure_of(settings, object_id=held.object_id)
        yield Section(title="tokens", findings=held.findings)
        yield Section(title="rights", findings=tuple(rights(settings, azure, shows_commands=shows_commands)))
        yield Section(title="flows", findings=await _called(settings, probe_flows, announce, credential))
        if settings.servicebus.namespace and held.findings[0].verdict is Verdict.FAILED:
            return
        bus = await stack.enter_async_context(Bus(bus_options(settings, credential)))
        reached = await queues(settings, bus, azure, round_trip=round_trip)
        yield Section(title="queues", findings=tuple(reached))
    if round_trip and all(finding.verdict is not Verdict.FAILED for finding in (*held.findings, *reached)):
        yield Section(title="round trip", findings=(await made_round_trip(settings, azure),))


async def _called(
    settings: Settings, names: Iterable[str], announce: Callable[[Sequence[str]], None], credential: Credential
) -> tuple[Finding, ...]:
    flows, asked = settings.flow_specs(), list(dict.fromkeys(names))
    if known := [name for name in asked if name in flows]:
        announce(known)
    return tuple(await asyncio.gather(*(probe_flow(name, flows, credential) for name in asked)))


def _refused(problem: Problem) -> Finding:
    return failed(problem.key, str(problem).removeprefix(f"{problem.key}: "))
