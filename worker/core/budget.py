"""Extra calls (retries, hedges) as a share of the calls that are made anyway."""


class Budget:
    """A token bucket: an extra call costs 1, each first attempt brings `ratio`, each second `reserve_per_s`.

    Starts full, for hedges too: a handful once for each start of a worker is nothing that a flow could notice.
    """

    def __init__(self, *, ratio: float, reserve_per_s: float, most: float) -> None:
        self._ratio = ratio
        self._reserve_per_s = reserve_per_s
        self._most = most
        self._tokens = most
        self._paid_until = float("inf")  # the reserve; before the first withdrawal the bucket is full

    def deposit(self) -> None:
        """For a first attempt."""
        self._add(self._ratio)

    def withdraw(self, now: float) -> bool:
        """Whether an extra call may be made, now paid for."""
        self._add(self._reserve_per_s * max(0.0, now - self._paid_until))
        self._paid_until = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def _add(self, tokens: float) -> None:
        self._tokens = min(self._most, self._tokens + tokens)
