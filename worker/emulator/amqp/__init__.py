"""AMQP 1.0 as a protocol core: bytes in, events out.

Here live the codec, the performatives, the state machines of connection, session and link, and message sections.
Nothing here reads a socket, a clock or an environment; time is an argument in seconds of any monotonic clock.
Nothing here knows Service Bus: no entity names, no `com.microsoft` anything.
"""
