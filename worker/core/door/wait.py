"""How long a caller wants to wait: `Prefer: wait=N` (RFC 7240), or `?wait=N`."""

import re
from collections.abc import Iterable
from typing import Final

_WAIT: Final = re.compile(r'wait\s*=\s*"?(?P<seconds>[0-9]{1,6})"?\s*(?:;.*)?', re.IGNORECASE)


def preferred_s(headers: Iterable[str]) -> int | None:
    """The first that can be read; preferences that can't be are to be ignored."""
    for header in headers:
        for preference in header.split(","):
            if (wait := _WAIT.fullmatch(preference.strip())) is not None:
                return int(wait["seconds"])
    return None


def asked_s(query: str) -> int | None:
    """None where it is no number of seconds."""
    return int(query) if re.fullmatch(r"[0-9]{1,6}", query, re.ASCII) else None
