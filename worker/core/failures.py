"""What can go wrong between the worker and the bus, in the bridge's own words."""


class BusFailure(Exception):
    """The bus did not do what was asked; the text says what, and never holds a secret."""


class BusUnreachable(BusFailure):
    """Passing: no connection, link lost, busy, timed out, token for the bus refused for now. Try again later."""


class SessionLost(BusFailure):
    """A session isn't held any more; the broker is well."""


class Misconfigured(BusFailure):
    """Trying again won't help before somebody changes something: no such queue, no right, sessions required."""
