"""Loopback servers that behave, towards their callers, like a Power Automate HTTP trigger and like token endpoints.

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
    GatewayAnswer,
    Hang,
    PlatformError,
)
from worker.emulator.standins.entra import EntraStandIn, Publish
from worker.emulator.standins.flow import FlowStandIn, ReceivedCall
from worker.emulator.standins.identity import IdentityStandIn
from worker.emulator.standins.recorded import Recorded
from worker.emulator.standins.token_behaviours import Garbage, Issue, Refuse, Stall, TokenBehaviour
from worker.emulator.standins.token_forms import APP_SERVICE_SECRET, TokenForm, TokenRequest

__all__ = [
    "APP_SERVICE_SECRET",
    "Accept",
    "Answer",
    "Behaviour",
    "CutOff",
    "CutPoint",
    "Drip",
    "Echo",
    "EntraStandIn",
    "FlowStandIn",
    "Garbage",
    "GatewayAnswer",
    "Hang",
    "IdentityStandIn",
    "Issue",
    "PlatformError",
    "Publish",
    "ReceivedCall",
    "Recorded",
    "Refuse",
    "Stall",
    "TokenBehaviour",
    "TokenForm",
    "TokenRequest",
]
