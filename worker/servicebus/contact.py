"""Whether the broker is there, as several links find out, each on its own."""

from collections.abc import Callable

from worker.core.failures import BusFailure


class Contact:
    """`on_lost`, with why, and `on_back` hear of each change once. Tell it of links that can't be opened: one that is
    lost and opened again at once says nothing of the broker.
    """

    def __init__(self, *, on_lost: Callable[[BusFailure], None], on_back: Callable[[], None]) -> None:
        self._on_lost = on_lost
        self._on_back = on_back
        self._is_lost = False

    def missed(self, failure: BusFailure) -> None:
        if not self._is_lost:
            self._is_lost = True
            self._on_lost(failure)

    def found(self) -> None:
        if self._is_lost:
            self._is_lost = False
            self._on_back()
