"""The adapter to Azure Service Bus: the only importer of `azure.servicebus` in the product.

Here live links (receivers, senders, sessions), each owned by one task, and the two-way conversion between the SDK's
messages and the core's values. The SDK retries nothing here (`retry_total=0`): a lane tells its owner, a writer tries
again itself. What goes wrong leaves through `failures` as `BusUnreachable` or `Misconfigured`.
What does not live here: decisions about a request.
"""
