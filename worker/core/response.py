"""What one attempt at a flow means: a response, or the lack of one, turned into a result."""

import json
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final, TypeAlias

from worker.core.outcome import Answered, FlowBody, Indeterminate, Reason, Refused, Running, Unavailable
from worker.core.redaction import fit_to_show

NO_RESPONSE: Final = "NoResponse"  # the run ended without reaching its Response action
# Credentials or the allow-list are wrong: no new token helps.
REFUSED_CREDENTIALS: Final = frozenset({"DirectApiAuthorizationRequired", "OAuthAccessPolicyNotFound"})
# An error body is small; what is longer is somebody else's page.
ERROR_BODY_LIMIT_BYTES: Final = 65_536
TROUBLE_WHILE_POLLING: Final = frozenset({401, 408, 429, 500, 502, 503, 504})
DETAIL_LIMIT: Final = 300
CODE_LIMIT: Final = 100


class Flaw(Enum):
    """Why a body isn't whole."""

    CUT_OFF = auto()
    TIMED_OUT = auto()
    GARBLED = auto()  # its compression can't be undone
    TOO_LARGE = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A status line and headers arrived; `body` is a `Flaw` where not all of the body did.

    `retry_after_s` is the Retry-After header, already read. `location` is None where the header is absent.
    `remaining_writes` counts down to the trigger's 429. `least_bytes`: that a body which is too large has.
    """

    status: int
    body: bytes | Flaw
    content_type: str | None = None
    run_id: str | None = None
    location: str | None = None
    retry_after_s: float | None = None
    remaining_writes: int | None = None
    least_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NoAnswer:
    """No status line arrived. `was_sent`: a byte of the request may have left."""

    was_sent: bool
    why: str


class Again(Enum):
    """Whether the same call may be made once more."""

    NEVER = auto()
    ONCE_WITH_A_FRESH_TOKEN = auto()
    IF_IDEMPOTENT = auto()
    SAFELY = auto()  # this attempt surely started no run


class Sign(Enum):
    """What an attempt tells the circuit breaker."""

    ALIVE = auto()
    FAILED = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    outcome: Answered | Refused | Unavailable | Indeterminate
    again: Again
    sign: Sign


@dataclass(frozen=True, slots=True, kw_only=True)
class StillRunning:
    """No answer at the Location yet. `location` is set where it moved."""

    retry_after_s: float | None
    location: str | None = None


AttemptResult: TypeAlias = Ended | Running


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformError:
    """`{"error": {"code": …, "message": …}}`, as the platform writes it."""

    code: str
    message: str


def judge_response(response: Response, *, attempts: int) -> AttemptResult:
    """`attempts` counts this one."""
    if 200 <= response.status < 300:
        if response.status == 202 and response.location is not None:
            return Running(
                location=response.location,
                retry_after_s=response.retry_after_s,
                run_id=response.run_id,
                attempts=attempts,
            )
        return _own_answer(response, attempts)
    error = _error(response)
    if _has_lost_its_run(response, error):
        return _in_doubt(response, error, attempts)
    if response.run_id is not None and response.status >= 300:
        return _own_answer(response, attempts)
    if response.status == 429 or (response.status in {500, 503} and error is not None):
        return _not_run(response, error, attempts)
    if 300 <= response.status < 500:
        return _turned_away(response, error, attempts)
    return _in_doubt(response, error, attempts)


def judge_poll(response: Response, running: Running) -> Ended | StillRunning:
    """What a GET of the Location brought: anything whole but 202 is the flow's own answer, or says that none will come.

    Without a run id, a failing platform or token may stand in its place; and what was cut off can be fetched again.
    """
    error = _error(response)
    is_own = response.status >= 200 and (response.run_id is not None or response.status not in TROUBLE_WHILE_POLLING)
    is_broken = isinstance(response.body, Flaw) and response.body is not Flaw.TOO_LARGE
    is_ended = response.status == 502 and _code(error) == NO_RESPONSE
    if response.status == 202 or not (is_own or is_ended) or is_broken:
        return StillRunning(retry_after_s=response.retry_after_s, location=response.location)
    response = replace(response, run_id=response.run_id or running.run_id)
    if _has_lost_its_run(response, error):
        return replace(_in_doubt(response, error, running.attempts), again=Again.NEVER)
    return _own_answer(response, running.attempts)


def judge_silence(silence: NoAnswer, *, attempts: int) -> Ended:
    if silence.was_sent:
        outcome: Unavailable | Indeterminate = Indeterminate(detail=silence.why, attempts=attempts)
        return Ended(outcome=outcome, again=Again.IF_IDEMPOTENT, sign=Sign.FAILED)
    outcome = Unavailable(detail=silence.why, attempts=attempts)
    return Ended(outcome=outcome, again=Again.SAFELY, sign=Sign.FAILED)


def is_own_answer(result: AttemptResult) -> bool:
    """Whether a run gave its answer, here and now."""
    if isinstance(result, Running):
        return False
    outcome = result.outcome
    return isinstance(outcome, Answered) or (isinstance(outcome, Refused) and outcome.run_id is not None)


def platform_error(body: bytes) -> PlatformError | None:
    """None for every body that isn't the platform's error."""
    if len(body) > ERROR_BODY_LIMIT_BYTES:
        return None
    try:
        document = json.loads(body)
        error = document["error"]
        code, message = error["code"], error.get("message", "")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    if not isinstance(code, str) or not code:
        return None
    return PlatformError(  # it may quote the URL that it was called with
        code=fit_to_show(code, CODE_LIMIT),
        message=fit_to_show(message, DETAIL_LIMIT) if isinstance(message, str) else "",
    )


def _has_lost_its_run(response: Response, error: PlatformError | None) -> bool:
    """The platform gave up waiting, or the run ended without answering: not the run's own word, even with its id."""
    return response.status == 504 or (response.status == 502 and _code(error) == NO_RESPONSE)


def _own_answer(response: Response, attempts: int) -> Ended:
    """A run answered; its body counts only when it is whole."""
    if isinstance(response.body, Flaw):
        return _broken(response, response.body, attempts)
    body = FlowBody(content=response.body, content_type=response.content_type)
    if response.status < 300:
        return Ended(
            outcome=Answered(http_status=response.status, body=body, run_id=response.run_id, attempts=attempts),
            again=Again.NEVER,
            sign=Sign.ALIVE,
        )
    refused = Refused(
        http_status=response.status,
        detail=f"The flow answered with HTTP {response.status}.",
        attempts=attempts,
        body=body,
        run_id=response.run_id,
        code=_code(_error(response)),
    )
    return Ended(outcome=refused, again=Again.NEVER, sign=Sign.ALIVE)


def _broken(response: Response, flaw: Flaw, attempts: int) -> Ended:
    too_large = flaw is Flaw.TOO_LARGE
    indeterminate = Indeterminate(
        detail=f"The flow answered with HTTP {response.status}, but {_flaw(response, flaw)}.",
        attempts=attempts,
        http_status=response.status,
        run_id=response.run_id,
        code=Reason.TOO_LARGE.value if too_large else None,
    )
    return Ended(
        outcome=indeterminate,
        again=Again.NEVER if too_large else Again.IF_IDEMPOTENT,
        sign=Sign.ALIVE if too_large else Sign.FAILED,
    )


def _in_doubt(response: Response, error: PlatformError | None, attempts: int) -> Ended:
    indeterminate = Indeterminate(
        detail=_said(response, error) + " The flow may have run.",
        attempts=attempts,
        http_status=response.status,
        run_id=response.run_id,
        code=_code(error),
    )
    return Ended(outcome=indeterminate, again=Again.IF_IDEMPOTENT, sign=Sign.FAILED)


def _not_run(response: Response, error: PlatformError | None, attempts: int) -> Ended:
    unavailable = Unavailable(
        detail=_said(response, error),
        attempts=attempts,
        http_status=response.status,
        retry_after_s=response.retry_after_s,
        code=_code(error),
    )
    # Throttling is the word of a trigger that is alive.
    sign = Sign.ALIVE if response.status == 429 else Sign.FAILED
    return Ended(outcome=unavailable, again=Again.SAFELY, sign=sign)


def _turned_away(response: Response, error: PlatformError | None, attempts: int) -> Ended:
    code = _code(error)
    advice = " Redirects are not followed; correct the flow's url." if response.status < 400 else ""
    refused = Refused(http_status=response.status, detail=_said(response, error) + advice, attempts=attempts, code=code)
    plain_401 = response.status == 401 and code not in REFUSED_CREDENTIALS
    return Ended(outcome=refused, again=Again.ONCE_WITH_A_FRESH_TOKEN if plain_401 else Again.NEVER, sign=Sign.ALIVE)


def _said(response: Response, error: PlatformError | None) -> str:
    if error is not None:
        return _sentence(
            f"The platform answered with HTTP {response.status} {error.code}: {error.message}".rstrip(": ")
        )
    if isinstance(response.body, Flaw):
        return f"The platform answered with HTTP {response.status}, but {_flaw(response, response.body)}."
    return f"The platform answered with HTTP {response.status}."


def _sentence(said: str) -> str:
    return said if said.endswith((".", "!", "?", "…")) else f"{said}."


def _error(response: Response) -> PlatformError | None:
    return None if isinstance(response.body, Flaw) else platform_error(response.body)


def _code(error: PlatformError | None) -> str | None:
    return None if error is None else error.code


def _flaw(response: Response, flaw: Flaw) -> str:
    if flaw is Flaw.TOO_LARGE:
        return f"the answer has {response.least_bytes:,} bytes or more, above max_response_bytes"
    return _FLAWS[flaw]


_FLAWS: Final = {
    Flaw.CUT_OFF: "the connection was lost before the whole answer arrived",
    Flaw.TIMED_OUT: "the time was up before the whole answer arrived",
    Flaw.GARBLED: "the answer's compression can't be undone",
}
