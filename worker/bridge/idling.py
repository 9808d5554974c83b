"""How much of its time a lane had nothing to do."""


class Idling:
    """Times are on the loop's clock."""

    def __init__(self) -> None:
        self.restart(0.0)

    def restart(self, now: float) -> None:
        self._asked_at, self._idle_s = now, 0.0
        self._since: float | None = None

    def begin(self, now: float) -> None:
        self._since = now

    def end(self, now: float) -> None:
        if self._since is not None:
            self._idle_s += now - self._since
            self._since = None

    def take_share(self, now: float) -> float:
        """Of the time since this was last asked, or since the restart."""
        if self._since is not None:
            self.end(now)
            self._since = now
        lasted_s, idle_s = now - self._asked_at, self._idle_s
        self._asked_at, self._idle_s = now, 0.0
        return idle_s / lasted_s if lasted_s > 0 else 0.0
