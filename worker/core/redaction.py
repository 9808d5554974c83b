"""Secrets out of any text a person or a log may see: access keys, signatures, tokens."""

import re

_MASK = "***"

# Each alternative keeps its name and loses its value. Values end where neither a key, a URL nor a quoted string
# goes on, so a redacted JSON line is still JSON.
_SECRET = re.compile(
    r"""
    (?P<name>
        (?:\b|%[0-9A-F]{2})  # the letters of an escaped separator are no part of the name
        (?:
            (?:
                (?:SharedAccessKey|AccountKey|client_secret|access_token|(?P<header>Authorization))
                (?:\\*["'])? \s* (?:=|:|%3D) \s* (?:\\*["'])?
                (?(header)Bearer \s+)
            )
          | sig (?:=|%3D)
          | Bearer \s+ (?=[\w.~+/=-]{16})  # anything shorter is a word about bearers
        )
    )
    (?!\*\*\*)
    [^\s;&"'\\<>,)]+
    | (?<![\w-])eyJ[\w-]+\.[\w-]+\.[\w-]*  # a bare JSON Web Token; a start within a word would cost squared time
    """,
    re.IGNORECASE | re.VERBOSE,
)


# One of them is in whatever the pattern finds. Looking for them takes a tenth of its time, for every line of a log.
_MARKS = ("sig", "bearer", "eyj", "sharedaccesskey", "accountkey", "client_secret", "access_token", "authorization")


def redact(text: str) -> str:
    """The text with the value of every secret replaced by `***`."""
    folded = text.casefold()  # ignores case as the pattern does, also where a long s stands for an s
    if not any(mark in folded for mark in _MARKS):
        return text
    return _SECRET.sub(lambda found: (found["name"] or "") + _MASK, text)


def fit_to_show(text: str, limit: int) -> str:
    """A foreign text on one line, of `limit` characters at most, all of which can be shown and written as UTF-8."""
    shown = redact(text)[:limit]
    return shown if shown.isprintable() else "".join(each if each.isprintable() else " " for each in shown)
