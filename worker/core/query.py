"""The parameters that a flow's URL gets for one request."""

from collections.abc import Sequence
from typing import TypeAlias
from urllib.parse import quote, urlencode

Query: TypeAlias = tuple[tuple[str, str], ...]


def encoded(query: Sequence[tuple[str, str]]) -> str:
    """Percent-encoded throughout, a space as %20. Raises UnicodeEncodeError for half of a surrogate pair."""
    return urlencode(query, quote_via=quote, safe="")
