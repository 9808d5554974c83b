"""The embedded broker and the stand-ins: everything a demo or a test needs instead of the cloud.

`amqp` knows no Service Bus, `broker` knows no AMQP, both are free of I/O; `server` joins them on a socket; `faults`
is what tests ask to go wrong. Nothing here imports the rest of `worker`, nor `azure`: sharing a codec with the client
would make both ends wrong together.
"""
