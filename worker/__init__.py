"""flowbridge: answers from Power Automate flows to requests on Azure Service Bus.

From the top: `cli` (the commands), `supervisor` (the worker in several processes), `app` (builds and runs the worker),
`stop`, `settings` and `logs`, `requester` (the caller's half), then `bridge`, `servicebus`, `flow` and `admin`, which
don't know each other, and `core`, the values and decisions that all stand on. `emulator` stands beside them and shares
nothing with them. Nothing is imported upwards.
"""
