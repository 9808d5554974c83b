"""Which flowbridge this is."""

from functools import cache
from importlib.metadata import version


@cache
def release() -> str:
    """Looked up once: that reads a file, and the status is told twice a second."""
    return version("flowbridge")
