"""Loopback servers that behave, towards their callers, like a Power Automate HTTP trigger and like IMDS.

What may live here: scripted answers, the faults of the two platforms, and a record of what was asked. What may not:
anything else of `worker`, anything of `azure`, and any check that belongs to a test.
"""

from worker.emulator.standins.behaviours import (
    Accept,
    Answer,
    Behaviour,
    CutOff,
    CutPoint,
    Drip,
    Echo,
    Hang,
    PlatformError,
)
from worker.emulator.standins.flow import FlowStandIn, ReceivedCall
from worker.emulator.standins.identity import (
    Garbage,
    IdentityStandIn,
    Issue,
    Refuse,
    Stall,
    TokenBehaviour,
    TokenRequest,
)
from worker.emulator.standins.recorded import Recorded

__all__ = [
    "Accept",
    "Answer",
    "Behaviour",
    "CutOff",
    "CutPoint",
    "Drip",
    "Echo",
    "FlowStandIn",
    "Garbage",
    "Hang",
    "IdentityStandIn",
    "Issue",
    "PlatformError",
    "ReceivedCall",
    "Recorded",
    "Refuse",
    "Stall",
    "TokenBehaviour",
    "TokenRequest",
]
