"""Why a route wasn't taken, in words. Made for people who ask, never on the way of a message."""

import json
from dataclasses import dataclass, fields
from typing import Any, Final

from worker.core.dataverse.changes import brings
from worker.core.match import Match, Mismatch
from worker.core.request import Request

_OF_THE_MESSAGE: Final = ("subject", "property")  # any message has these, event or not
_KEYS: Final = {"properties": "property", "unless": "not"}  # as an operator writes them


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """`condition` is the key that failed, such as `table`, `property.region` or `changed`."""

    condition: str
    wanted: str
    found: str

    def __str__(self) -> str:
        return f"{self.condition}: wanted {self.wanted}, found {self.found}"


def explained(mismatch: Mismatch, request: Request) -> Explanation:
    """`request` is the one that was looked at."""
    condition, name = mismatch.condition, mismatch.name
    if condition == "any":
        inner = (f"[{index}] {explained(each, request)}" for index, each in enumerate(mismatch.within))
        return Explanation(condition=condition, wanted="one of them to hold", found="; ".join(inner))
    if isinstance(mismatch.wanted, Match):
        return Explanation(condition=condition, wanted=f"anything but {described(mismatch.wanted)}", found="just that")
    if request.event is None and condition not in _OF_THE_MESSAGE:
        found = "no Dataverse event"
    elif condition == "present":
        found = "it not among them"
    elif condition == "changed" and name is not None:
        found = _found_unchanged(request, name)
    else:
        found = "none" if mismatch.found is None else str(mismatch.found)
    wanted = {"present": f"{name} among the columns written", "changed": f"another {name} than before"}
    return Explanation(
        condition=f"property.{name}" if condition == "property" else condition,
        wanted=wanted.get(condition, str(mismatch.wanted)),
        found=found,
    )


def described(match: Match) -> str:
    """As it could stand in the settings: `{ table = "account", stage = 40 }`."""
    said = ((_KEYS.get(each.name, each.name), getattr(match, each.name)) for each in fields(match))
    conditions = (f"{key} = {_inline(value)}" for key, value in said if value not in (None, (), {}))
    return f"{{ {', '.join(conditions)} }}"


def _inline(value: Any) -> str:
    if isinstance(value, Match):
        return described(value)
    if isinstance(value, tuple):
        return f"[{', '.join(map(_inline, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{name} = {_inline(text)}' for name, text in value.items())} }}"
    return json.dumps(value, ensure_ascii=False)


def _found_unchanged(request: Request, column: str) -> str:
    is_written = request.event is not None and brings(request.event.context(), column.lower())
    return "the value of the pre-image" if is_written else "it not among the columns written"
