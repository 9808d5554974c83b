"""How many messages a receive asks the SDK for.

One is handed out as soon as it is there, and costs 100 µs more than one of several. Several are waited for until the
last is there, or the SDK looks at the clock: where fewer come, up to 50 ms.
"""

from typing import Final

AT_ONCE_S: Final = 0.001  # a message that is handed out sooner had been there before
_FEW: Final = 16
_MANY: Final = 256


class Appetite:
    """`size`: one while it's calm, twice as many each time that all of them were there, one again when they weren't.

    Each time that they weren't, twice as many messages must have been there at once before several are tried again.
    """

    def __init__(self, largest: int) -> None:
        self.size = 1
        self._largest = largest
        self._patience = _FEW
        self._to_come = _FEW

    def got(self, count: int, *, asked: int, took_s: float) -> None:
        """`asked`: at most `size`; fewer, where no more could come, tell nothing of whether more would have."""
        if asked > 1 and count < asked:
            self.size, self._patience = 1, min(_MANY, 2 * self._patience)
            self._to_come = self._patience
        elif asked > 1:
            self._patience = _FEW
            if asked == self.size:
                self.size = min(self._largest, 2 * self.size)
        elif self.size == 1 and count and took_s < AT_ONCE_S:
            self._to_come -= 1
            if self._to_come <= 0:
                self.size = min(self._largest, 2)
