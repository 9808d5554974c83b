"""What a subject is to do, and how it is told: in its environment, so that a program in any language can read it."""

import asyncio
import os
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final

REQUESTS: Final = "flow-requests"
REPLIES: Final = "flow-replies"
_PREFIX: Final = "FLOWBRIDGE_BENCH_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Receive from `REQUESTS`, post each body to `url`, reply with what it answers, complete; `in_flight` at once."""

    connection_string: str
    url: str
    in_flight: int

    def environment(self) -> dict[str, str]:
        return {
            f"{_PREFIX}CONNECTION_STRING": self.connection_string,
            f"{_PREFIX}URL": self.url,
            f"{_PREFIX}IN_FLIGHT": str(self.in_flight),
        }

    @classmethod
    def told(cls, environment: Mapping[str, str]) -> "Job":
        return cls(
            connection_string=environment[f"{_PREFIX}CONNECTION_STRING"],
            url=environment[f"{_PREFIX}URL"],
            in_flight=int(environment[f"{_PREFIX}IN_FLIGHT"]),
        )


def do(work: Callable[[Job], Coroutine[Any, Any, None]]) -> None:
    """Until the process is ended. On uvloop where it is to be had, as the worker."""
    job = Job.told(os.environ)
    try:
        import uvloop
    except ImportError:
        asyncio.run(work(job))
    else:
        uvloop.run(work(job))
