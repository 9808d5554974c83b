"""The caller's half of Request-Reply: one session on the reply queue, many callers waiting.

```python
async with Requester(connection_string=..., request_queue="flow-requests", reply_queue="flow-replies") as requester:
    reply = await requester.request({"amount": 120}, flow="credit-check", timeout_s=60)
    print(reply.outcome, reply.http_status, reply.body)
```

Here live the matching of answers to callers and their time-outs. What does not live here: the broker's SDK, and any
knowledge of flows.
"""

from worker.core.typed_reply import TypedReply
from worker.requester.correlation import BusRefused, NoReply, RequesterStatistics
from worker.requester.requester import Requester

__all__ = ["BusRefused", "NoReply", "Requester", "RequesterStatistics", "TypedReply"]
