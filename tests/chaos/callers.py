"""Those who ask: the product's own requesters, and senders whose replies are looked at on the broker."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from chaos.evidence import REPLIES, REQUESTS
from chaos.flows import CALLER_S
from chaos.plan import Asked, Way, Wrong

from worker.requester import BusRefused, NoReply, Requester
from worker.servicebus.connect import Bus, BusOptions
from worker.servicebus.outbox import Outbox
from worker.servicebus.outgoing import Outgoing

NAME = "callers"  # of their key at the broker
SEND_S = 60.0


@dataclass(slots=True, kw_only=True)
class Callers:
    """`endings`: how the requesters' requests ended for them; `foreign`: answers that weren't their own."""

    requesters: dict[str, Requester]
    outbox: Outbox
    endings: Counter[str] = field(default_factory=Counter)
    unanswered: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    unsent: list[str] = field(default_factory=list)

    async def send(self, asked: Asked) -> None:
        """Returns when it is answered, or where nobody listens, sent."""
        if asked.way is Way.REQUESTER:
            await self._ask(asked)
        else:
            undelivered = await self.outbox.send(_outgoing(asked), until=asyncio.get_running_loop().time() + SEND_S)
            if undelivered is not None:
                self.unsent.append(asked.request_id)

    async def _ask(self, asked: Asked) -> None:
        try:
            reply = await self.requesters[asked.session].request(
                asked.body, flow=asked.flow, message_id=asked.request_id, timeout_s=CALLER_S
            )
        except (NoReply, BusRefused) as nothing:
            self.endings[type(nothing).__name__] += 1
            self.unanswered.append(asked.request_id)
            return
        self.endings[reply.outcome] += 1
        if orjson.loads(reply.body).get(_id_of(reply.outcome)) not in {asked.request_id, None}:
            self.foreign.append(asked.request_id)


def _id_of(outcome: str) -> str:
    return {"answered": "id", "refused": "no"}.get(outcome, "request-id")


@asynccontextmanager
async def open_callers(connection_string: str, sessions: int) -> AsyncIterator[Callers]:
    """Sessions are named `s0` and so on."""
    async with AsyncExitStack() as stack:
        requesters = {
            f"s{number}": await stack.enter_async_context(
                Requester(connection_string=connection_string, session_id=f"s{number}")
            )
            for number in range(sessions)
        }
        bus = await stack.enter_async_context(Bus(BusOptions(connection_string=connection_string)))
        outbox = await stack.enter_async_context(Outbox(bus, REQUESTS, writers=2))
        yield Callers(requesters=requesters, outbox=outbox)


def _outgoing(asked: Asked) -> Outgoing:
    has_address = asked.way is Way.CALLER
    fields: dict[str, Any] = {}
    properties: dict[str, Any] = {"flow": "nowhere" if asked.wrong is Wrong.UNROUTABLE else asked.flow}
    if asked.wrong is Wrong.MALFORMED:
        properties["timeout-s"] = "soon"
    elif has_address:
        properties["timeout-s"] = CALLER_S
    if has_address:
        fields["reply_to"] = "elsewhere" if asked.wrong is Wrong.NOT_ALLOWED else REPLIES
        fields["reply_to_session_id"] = None if asked.wrong is Wrong.NO_SESSION else unheard(asked.session)
    return Outgoing(
        body=asked.body,
        message_id=asked.request_id,
        content_type="application/json",
        properties=properties,
        **fields,
    )


def unheard(session: str) -> str:
    """A session that no requester receives from."""
    return f"{session}-unheard"
