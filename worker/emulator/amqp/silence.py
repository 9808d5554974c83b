"""How long nothing came, and how long nothing went (part 2.4.5)."""

from __future__ import annotations

from worker.emulator.amqp.errors import NOT_ALLOWED, RemoteProtocolError

SHORTEST_TIME_OUT_MS = 100


class Silence:
    __slots__ = ("_beat_s", "heard_at", "limit_s", "said_at")

    def __init__(self, limit_s: float | None, now: float) -> None:
        """`limit_s`: the peer's silence after which this end gives up. None: never."""
        self.limit_s = limit_s
        self.heard_at = now
        self.said_at = now
        self._beat_s: float | None = None

    @property
    def advertised_ms(self) -> int | None:
        """Half the limit, as the specification advises: a peer may be late."""
        return None if self.limit_s is None else int(self.limit_s * 500)

    def hear_limit(self, time_out_ms: int) -> None:
        """The peer's limit; something is said at half of it. Raises RemoteProtocolError for one too short to keep."""
        if time_out_ms < SHORTEST_TIME_OUT_MS:
            raise RemoteProtocolError(
                NOT_ALLOWED, f"an idle time-out is at least {SHORTEST_TIME_OUT_MS} ms here, not {time_out_ms}"
            )
        self._beat_s = time_out_ms / 2000

    def next_deadline(self) -> float | None:
        limits = ((self.heard_at, self.limit_s), (self.said_at, self._beat_s))
        return min((since + limit_s for since, limit_s in limits if limit_s is not None), default=None)

    def is_too_long(self, now: float) -> bool:
        return self.limit_s is not None and now >= self.heard_at + self.limit_s

    def wants_beat(self, now: float) -> bool:
        return self._beat_s is not None and now >= self.said_at + self._beat_s
