"""What a child is to do, handed over as it is: settings are read and judged once."""

import os
import pickle
import socket
from dataclasses import dataclass

from worker.core.sharing import even_shares
from worker.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """`settings`: the worker's, with this process's share of what is in flight."""

    process: int
    settings: Settings
    log_level: str

    def to_bytes(self) -> bytes:
        return pickle.dumps(self)


def shared_out(settings: Settings) -> list[Settings]:
    """Each process's. What a flow takes is shared through the fleet instead, which counts the processes."""
    worker = settings.worker
    return [
        settings.model_copy(update={"worker": worker.model_copy(update={"concurrency": share})})
        for share in even_shares(worker.concurrency, worker.processes)
    ]


def received(descriptor: int) -> tuple[Brief, socket.socket] | None:
    """What the supervisor sent, and the socket to it; None where it has gone. OSError for what is no socket."""
    line = socket.socket(fileno=os.dup(descriptor))  # the number itself stays taken: it is a standard stream's
    with line.makefile("rb") as file:
        try:
            brief: Brief = pickle.load(file)  # noqa: S301 - from our own supervisor: nobody else holds the other end
        except (EOFError, pickle.UnpicklingError):  # nothing, or cut short
            line.close()
            return None
    return brief, line
