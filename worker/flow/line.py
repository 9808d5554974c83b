"""What the calls of one flow share: its address, its credentials and what stands before it."""

import asyncio
from collections import OrderedDict
from typing import Final, Protocol

from azure.core.credentials import AccessToken
from yarl import URL

from worker.core.flow_spec import FlowSpec
from worker.flow.exchange import Session
from worker.flow.gate import Gate
from worker.flow.locations import is_same_origin, is_signed, is_within_workflow, may_follow, parse_url
from worker.flow.token import NoToken


class TokenSource(Protocol):
    """Both coroutines raise `NoToken`."""

    def held_token(self, scope: str) -> AccessToken | None: ...

    async def get_token(self, *scopes: str) -> AccessToken: ...

    async def renewed_token(self, scope: str, *, stale: str) -> AccessToken: ...


_MOST_LOCATIONS: Final = 20_000


class Line:
    """`url` changes while calls are under way, when a signature is rotated or the flow moves."""

    def __init__(self, flow: FlowSpec, *, session: Session, gate: Gate, tokens: TokenSource) -> None:
        self.flow = flow
        self._called_at(parse_url(flow.url))
        self.session = session
        self.now = asyncio.get_running_loop().time  # to ask for the loop costs a system call until Python 3.12
        self.gate = gate
        self._tokens = tokens
        self._former_url = self.url  # runs begun there may still be asked for their answers
        self._told: OrderedDict[str, None] = OrderedDict()  # locations that the flow itself told this worker

    @property
    def may_be_called(self) -> bool:
        """Whether a call would have its credentials now."""
        return not self.takes_token or self._tokens.held_token(self.flow.scope) is not None

    async def token(self, deadline: float | None, *, stale: str | None = None) -> str | None:
        """None where the flow takes none. `stale`: one that the flow didn't accept. Raises `NoToken`."""
        if not self.takes_token:
            return None
        tokens, scope = self._tokens, self.flow.scope
        held = tokens.held_token(scope)
        if held is not None and held.token != stale:
            return held.token
        try:
            async with asyncio.timeout_at(deadline):
                token = await (tokens.get_token(scope) if stale is None else tokens.renewed_token(scope, stale=stale))
        except TimeoutError as error:
            raise NoToken(f"No token for {scope} before the request's deadline.") from error
        return token.token

    def move(self, url: URL) -> bool:
        """False where it is there already."""
        if url == self.url:
            return False
        self._former_url = self.url
        self._called_at(url)
        return True

    def note_location(self, location: str) -> None:
        """The flow's own word."""
        self._told[location] = None
        if len(self._told) > _MOST_LOCATIONS:
            self._told.popitem(last=False)

    def was_told(self, location: str) -> bool:
        """False also for what another worker was told, and for what a sender of messages made up."""
        return location in self._told

    def is_trigger(self, url: URL) -> bool:
        """Whether asking there would be another call."""
        return any(
            is_same_origin(url, trigger) and url.raw_path == trigger.raw_path
            for trigger in (self.url, self._former_url)
        )

    def may_follow(self, url: URL) -> bool:
        hosts = self.flow.polling_hosts
        return may_follow(url, self.url, hosts) or may_follow(url, self._former_url, hosts)

    async def poll_headers(self, url: URL, deadline: float, *, is_told: bool) -> dict[str, str]:
        """A poll simply comes back unauthorized where no token can be had.

        `is_told`: by the flow itself. A location that came in a message gets the token only within the flow's own
        path: whoever may send requests could aim it at anything else on the host.
        """
        if is_signed(url) or not is_same_origin(url, self.url):
            return {}
        if not (is_told or is_within_workflow(url, self.url)):
            return {}
        try:
            token = await self.token(deadline)
        except NoToken:
            return {}
        return {} if token is None else bearer(token)

    def _called_at(self, url: URL) -> None:
        self.url = url
        self.takes_token = self.flow.auth == "identity" and not is_signed(url)  # a signed URL refuses one


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
