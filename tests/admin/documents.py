"""Status documents as workers in several states would serve them."""

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

Document: TypeAlias = dict[str, Any]

STEPS = 60
HOSTILE = """<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>"""
SCOPE = "https://service.flow.microsoft.com//.default"


def a_flow(name: str, **changes: Any) -> Document:
    return {
        "name": name,
        "circuit": "closed",
        "reopens_in_s": None,
        "in_flight": 1,
        "waiting": 0,
        "limit": 100,
        "most": 100,
        "rate_per_s": 0.0,
        "fastest_decile_s": 0.2,
        "held": 1,
        "outcomes": {"answered": 64},
        "p50_s": 0.412,
        "p99_s": 1.93,
        "errors": [],
    } | changes


def an_error(*, ago_s: float = 12.0, **changes: Any) -> Document:
    return {
        "at": time.time() - ago_s,
        "outcome": "unavailable",
        "reason": None,
        "http_status": 503,
        "request_id": "5f0c7d1e-9a43-4c0e-8f55-0d7c2be8a1f4",
        "run_id": None,
        "detail": "The flow answered HTTP 503 four times; its environment is being moved.",
    } | changes


def history(outcomes: Mapping[str, Sequence[int]], *, is_slow: bool = False) -> Document:
    answered = outcomes.get("answered", [0] * STEPS)
    slow = 2.5 if is_slow else 1.0
    return {
        "step_s": 5,
        "until": time.time(),
        "outcomes": {name: list(numbers) for name, numbers in outcomes.items()},
        "p50_s": [0.41 * slow + 0.05 * math.sin(step / 5) if count else None for step, count in enumerate(answered)],
        "p99_s": [1.6 * slow + 0.4 * math.sin(step / 3) if count else None for step, count in enumerate(answered)],
    }


def steady(of: int = 4) -> list[int]:
    return [of + round(1.6 * math.sin(step / 4) + 1.2 * math.sin(step)) for step in range(STEPS)]


def all_fine(**changes: Any) -> Document:
    return {
        "version": "0.1.0",
        "at": time.time(),
        "uptime_s": 4812.3,
        "ready": True,
        "reasons": [],
        "pump": {
            "lanes": 2,
            "lanes_receiving": 2,
            "in_flight": 3,
            "slots": 200,
            "slots_free": 197,
            "is_stopping": False,
            "is_paused": False,
            "failure": None,
        },
        "flows": [
            a_flow("credit-check"),
            a_flow("address-lookup", p50_s=0.093, p99_s=0.31, outcomes={"answered": 121, "refused": 2, "moved": 7}),
            a_flow("invoice-archive", in_flight=0, held=0, rate_per_s=5.0, outcomes={}, p50_s=None, p99_s=None),
        ],
        "fleet": {"workers": 1, "counted_by": None, "failure": None},
        "tokens": [{"scope": SCOPE, "usable_s": 3000.0, "failure": None}],
        "loop_lag_s": 0.002,
        "history": history({"answered": steady(), "refused": [1 if step in (20, 41) else 0 for step in range(STEPS)]}),
        "steerable": False,
    } | changes


def nothing_yet() -> Document:
    idle = [a_flow("credit-check", in_flight=0, held=0, outcomes={}, p50_s=None, p99_s=None)]
    return all_fine(flows=idle, history=history({}), uptime_s=2.0)


def one_open(**changes: Any) -> Document:
    failing = [0] * 46 + [1, 3, 4, 5, 3, 4, 2, 4, 3, 5, 4, 3, 2, 1]
    lost = [0] * 46 + [1, 0, 1] + [0] * 11
    answered = [number if step < 46 else max(1, number - 3) for step, number in enumerate(steady())]
    errors = [
        an_error(),
        an_error(
            ago_s=14, request_id="req 77; rm -rf 'all'", http_status=502, outcome="indeterminate", run_id="08585…"
        ),
    ]
    flows = [
        a_flow(
            "credit-check",
            circuit="open",
            reopens_in_s=12.3,
            in_flight=0,
            waiting=0,
            held=0,
            limit=12,
            outcomes={"answered": 83, "unavailable": 44, "indeterminate": 2},
            errors=errors,
        ),
        a_flow("address-lookup", p50_s=0.093, p99_s=0.31, outcomes={"answered": 121, "refused": 2}),
        a_flow("invoice-archive", limit=31, waiting=7, in_flight=31, held=38, p50_s=4.2, p99_s=11.8),
        a_flow("tax-office", circuit="half-open", outcomes={"answered": 4, "unavailable": 9}),
    ]
    outcomes = {"answered": answered, "unavailable": failing, "indeterminate": lost}
    return all_fine(flows=flows, history=history(outcomes, is_slow=True), steerable=True) | changes


def not_ready() -> Document:
    why = "not receiving: no such queue: the queue 'flow-requests' does not exist in contoso.servicebus.windows.net"
    pump = all_fine()["pump"] | {"lanes_receiving": 0, "in_flight": 0, "slots_free": 200, "failure": why[15:]}
    token = {"scope": SCOPE, "usable_s": None, "failure": "the identity endpoint answered HTTP 500"}
    reasons = [why, "no token for the flows: the identity endpoint answered HTTP 500"]
    return nothing_yet() | {"ready": False, "reasons": reasons, "pump": pump, "tokens": [token]}


def draining() -> Document:
    pump = all_fine()["pump"] | {"lanes_receiving": 0, "is_stopping": True}
    return all_fine(ready=False, reasons=["draining: the worker finishes what it has and takes nothing new"], pump=pump)


def many_flows() -> Document:
    names = ("address", "archive", "audit", "balance", "credit", "invoice", "ledger", "parcel", "stock", "tax")
    kinds = ("check", "copy", "get", "new", "put")
    flows = [a_flow(f"{name}-{kind}") for name in names for kind in kinds]
    for place, flow in enumerate(flows):
        flow |= {"in_flight": place % 7, "held": place % 7, "outcomes": {"answered": 40 + place, "refused": place % 3}}
    flows[17] |= {"circuit": "isolated", "errors": [an_error(outcome="unavailable", http_status=None, detail=None)]}
    flows[31] |= {"circuit": "open", "reopens_in_s": 4.2, "errors": [an_error()]}
    flows[44] |= {"outcomes": {"answered": 80, "unavailable": 21}}
    return all_fine(flows=flows, steerable=True)


def hostile() -> Document:
    error = an_error(request_id=HOSTILE, run_id=HOSTILE, reason=HOSTILE, detail=HOSTILE, outcome=HOSTILE)
    flows = [
        a_flow(HOSTILE, circuit="open", reopens_in_s=3.0, errors=[error]),
        a_flow("W" * 100, circuit=HOSTILE),
        a_flow("\u202edesrever\u202d __proto__", outcomes={HOSTILE: 3, "answered": 1}),
        a_flow("__proto__"),
    ]
    fleet = {"workers": 1, "counted_by": HOSTILE, "failure": HOSTILE}
    token = {"scope": HOSTILE, "usable_s": 20.0, "failure": HOSTILE}
    pump = all_fine()["pump"] | {"failure": HOSTILE}
    return all_fine(flows=flows, fleet=fleet, tokens=[token], pump=pump, version=HOSTILE, steerable=True)


def several_processes() -> Document:
    own = all_fine()
    fine = {"process": 0, "pid": 4711, "restarts": 0, "starts_in_s": None, "silent_s": 0.3, "status": own}
    late = own | {"ready": False, "reasons": ["not receiving: connecting to the request queue"]}
    processes = [
        fine,
        fine | {"process": 1, "pid": 4712, "status": own | {"loop_lag_s": 0.031}},
        fine | {"process": 2, "pid": None, "restarts": 3, "starts_in_s": 2.0, "silent_s": None, "status": None},
        fine | {"process": 3, "pid": 4719, "restarts": 1, "status": late},
    ]
    return all_fine(processes=processes)


def door() -> Document:
    """What a door says, in the shape of a worker's."""
    kept = ("version", "at", "uptime_s", "ready", "reasons", "pump", "loop_lag_s", "history", "steerable")
    flows = [
        {"name": name, "outcomes": outcomes, "p50_s": 0.412, "p99_s": 1.9, "errors": []}
        for name, outcomes in (("credit-check", {"answered": 64, "moved": 2}), ("address-lookup", {"answered": 123}))
    ]
    held = {"requests": 12, "bytes": 48_000}
    return {name: all_fine()[name] for name in kept} | {
        "kind": "door",
        "flows": flows,
        "fleet": None,
        "tokens": [],
        "held": held,
    }


STATES = {
    "all-fine": all_fine,
    "nothing-yet": nothing_yet,
    "one-open": one_open,
    "not-ready": not_ready,
    "draining": draining,
    "many-flows": many_flows,
    "hostile": hostile,
    "several-processes": several_processes,
    "door": door,
}
