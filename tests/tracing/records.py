"""A record of one delivery, and what is to be made of it."""

from dataclasses import replace
from typing import Final

from support import observed as answered

from worker.bridge.observed import Times
from worker.core.attempt import Attempt
from worker.core.flow_spec import FlowSpec
from worker.core.trace import Parent, TraceContext
from worker.tracing.spec import TraceSpec

SENDER: Final = Parent(trace_id="4bf92f3577b34da6a3ce929d0e0e4736", span_id="00f067aa0ba902b7", is_sampled=True)
CONTEXT: Final = TraceContext(
    trace_id=SENDER.trace_id, span_id="53995c3f42cd8ad8", parent=SENDER, state="vendor=opaque", is_sampled=True
)
BEGINNING: Final = replace(CONTEXT, parent=None, state=None)
EPOCH_NS: Final = 1_700_000_000_000_000_000  # of the loop's clock
FLOW: Final = FlowSpec(
    name="checks", url="https://me:pw@prod-1.westus.logic.azure.com:443/workflows/1/invoke?sp=x&sig=secret#there"
)
QUEUE: Final = TraceSpec(
    bus_host="contoso.servicebus.windows.net",
    bus_port=None,
    requests_from="flow-requests",
    subscription=None,
    flows={FLOW.name: FLOW},
)
TIMES: Final = Times(
    first_enqueued_at=100.0,
    enqueued_at=100.0,
    asked_at=90.0,
    started_at=101.0,
    deadline=210.0,
    reply_began_at=104.0,
    replied_at=105.0,
    settling_at=106.0,
    ended_at=107.0,
)
ANSWERED: Final = replace(
    answered.ANSWERED,
    correlation_id="c-1",
    flow="checks",
    run_id="run-1",
    tries=(Attempt(began_at=102.0, ended_at=103.0, status=200),),
    call_s=1.0,
    times=TIMES,
    detail="the flow answered",
)
