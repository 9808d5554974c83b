"""One HTTP request to a flow, as it is kept for whoever reads of it afterwards."""

from dataclasses import dataclass

from worker.core.outcome import Indeterminate, Running
from worker.core.response import AttemptResult, NoAnswer, Response, is_own_answer
from worker.core.verdict import detail_of


@dataclass(slots=True, kw_only=True)
class Attempt:
    """Times are on the loop's clock. Without `ended_at` it was cut, or is under way; then nothing else is known.

    `number`: which one of its call's it is.
    """

    began_at: float
    number: int = 1
    ended_at: float | None = None
    status: int | None = None
    why: str | None = None  # it brought no answer of the flow's own
    may_have_run: bool = False  # although it brought none

    def end(self, response: Response | NoAnswer, result: AttemptResult, now: float) -> None:
        self.ended_at = now
        if isinstance(response, Response):
            self.status = response.status
        if not (is_own_answer(result) or isinstance(result, Running)):
            self.why = detail_of(result.outcome)
            self.may_have_run = isinstance(result.outcome, Indeterminate)

    @property
    def result(self) -> str:
        """Of few: "2xx", "429", "none" and so on."""
        if self.status is None:
            return "none"
        return "429" if self.status == 429 else f"{self.status // 100}xx"
