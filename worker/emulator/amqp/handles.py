"""The links of a session, by this end's handles and by the peer's."""

from __future__ import annotations

from itertools import count

from worker.emulator.amqp import errors
from worker.emulator.amqp.errors import LocalProtocolError, RemoteProtocolError
from worker.emulator.amqp.lifecycle import Half
from worker.emulator.amqp.link import Link
from worker.emulator.amqp.performatives import Attach


class Handles:
    __slots__ = ("_asked_for", "_by_handle", "_by_peer_handle", "_channel", "handle_max", "peer_handle_max")

    def __init__(self, channel: int, handle_max: int) -> None:
        self._channel = channel
        self.handle_max = handle_max
        self.peer_handle_max = handle_max
        self._by_handle: dict[int, Link] = {}
        self._by_peer_handle: dict[int, Link] = {}
        self._asked_for: dict[tuple[str, bool], Link] = {}
        """By name and role: attached from this end, not answered yet."""

    def ask_for(self, name: str, *, role: bool) -> Link:
        """A link that this end wants."""
        handle = self._free_handle()
        if handle > self.peer_handle_max:
            raise LocalProtocolError(f"all {handle} handles that the peer allows are in use")
        link = self._asked_for[name, role] = self._new(name, role=role, handle=handle)
        return link

    def admit(self, attach: Attach) -> Link:
        """The link that the peer wants, or agrees to. Raises RemoteProtocolError."""
        if attach.handle in self._by_peer_handle:
            raise RemoteProtocolError(errors.HANDLE_IN_USE, f"handle {attach.handle} is attached already")
        if attach.handle > self.handle_max:
            raise RemoteProtocolError(errors.FRAMING_ERROR, f"handles go up to {self.handle_max}")
        role = not attach.role
        link = self._asked_for.pop((attach.name, role), None)
        if link is None:
            handle = self._free_handle()
            if handle > self.peer_handle_max:
                raise RemoteProtocolError(
                    errors.RESOURCE_LIMIT_EXCEEDED, f"all {handle} handles that the peer allows are in use"
                )
            link = self._new(attach.name, role=role, handle=handle)
        self._by_peer_handle[attach.handle] = link
        return link

    def _free_handle(self) -> int:
        return next(free for free in count() if free not in self._by_handle)

    def _new(self, name: str, *, role: bool, handle: int) -> Link:
        link = self._by_handle[handle] = Link(name, channel=self._channel, handle=handle, role=role)
        return link

    def of_peer(self, handle: int) -> Link:
        """Raises RemoteProtocolError."""
        link = self._by_peer_handle.get(handle)
        if link is None:
            raise RemoteProtocolError(errors.UNATTACHED_HANDLE, f"no link is attached with handle {handle}")
        return link

    def forget(self, link: Link) -> None:
        """Detached in both directions: its handles are free."""
        del self._by_handle[link.handle]
        if link.peer is not None:
            del self._by_peer_handle[link.peer.handle]

    def clear(self) -> list[Link]:
        """Forget all; answers with those that this end had not detached."""
        links = [link for link in self._by_handle.values() if link.lifecycle.local is not Half.CLOSED]
        self._by_handle.clear()
        self._by_peer_handle.clear()
        self._asked_for.clear()
        return links
