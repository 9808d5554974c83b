"""What is going to happen in a round, drawn from its seed: who asks what of which flow, and what goes wrong when.

A harm waits from `at_s` on for its trigger's next occasion, at whichever worker of its seats that is.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from random import Random
from typing import Final

from chaos.flows import CALL_S, CALM, IN_TROUBLE, LOCK_S


class Do(StrEnum):
    """What a flow makes of one call."""

    ANSWER = "answer"
    REFUSE = "refuse"  # the run itself, with its id
    TURN_AWAY = "turn away"  # the trigger: no run
    THROTTLE = "throttle"  # 429: no run
    UNAVAILABLE = "unavailable"  # 503 of the platform: no run
    NO_RESPONSE = "no response"  # 502: the run ended without an answer
    HANG = "hang"
    CUT_BEFORE = "cut before the headers"
    CUT_WITHIN = "cut within the body"
    ACCEPT = "accept"  # 202 with a Location


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    do: Do
    after_s: float = 0.0
    polls: int = 0


class Way(StrEnum):
    REQUESTER = "requester"  # the product's own caller
    CALLER = "caller"  # a session that nobody receives from: what comes into it is looked at on the broker
    ONE_WAY = "one-way"


class Wrong(StrEnum):
    MALFORMED = "Malformed"
    UNROUTABLE = "Unroutable"
    NOT_ALLOWED = "ReturnAddressNotAllowed"
    NO_SESSION = "ReturnAddressInvalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """`steps`: what the flow does with each successive call; the last one stays."""

    request_id: str
    at_s: float
    flow: str
    way: Way
    session: str
    steps: tuple[Step, ...]
    wrong: Wrong | None = None

    @property
    def body(self) -> bytes:
        return json.dumps({"id": self.request_id, "steps": [asdict(step) for step in self.steps]}).encode()

    @property
    def has_caller(self) -> bool:
        """Who can be answered."""
        return self.way is not Way.ONE_WAY and self.wrong not in {Wrong.NOT_ALLOWED, Wrong.NO_SESSION}


class Trigger(StrEnum):
    NOW = "at any moment"
    DELIVERED = "request delivered"
    CALLED = "flow called"
    ANSWERING = "flow about to answer"
    ANSWERED = "flow just answered"
    REPLY_SENT = "reply not yet accepted"
    REPLY_TAKEN = "reply accepted, unconfirmed"
    REPLY_CONFIRMED = "reply confirmed"
    COPY_SENT = "copy not yet accepted"
    COPY_TAKEN = "copy accepted, unconfirmed"
    COPY_CONFIRMED = "copy confirmed"
    SETTLING = "settlement in flight"
    SETTLED = "settled, unconfirmed"
    RENEWAL = "lock being renewed"
    ATTACH = "link being opened"
    TOKEN = "token being fetched"
    DRAINING = "during a drain"


class Kind(StrEnum):
    KILL = "kill"
    TERM = "term"
    TERM_TWICE = "term twice"
    FREEZE = "freeze beyond the lock"
    FREEZE_BRIEFLY = "freeze briefly"
    RESET = "cut by RST"
    CLOSE = "cut by FIN"
    RESET_REQUESTS = "cut the lanes"
    RESET_REPLIES = "cut the reply senders"
    SILENCE = "silence, then cut"
    DETACH_REQUESTS = "detach the lanes"
    DETACH_REPLIES = "detach the reply senders"
    AWAY = "broker away"
    BUSY_REPLIES = "replies refused: busy"
    BUSY_COPIES = "copies refused: busy"
    BUSY_LANES = "lanes refused: busy"
    CUT_AFTER_REPLY = "cut after a reply"
    CUT_AFTER_COPY = "cut after a copy"
    CUT_BEFORE_REPLY = "cut before a reply"
    SETTLEMENT_LOST = "settlement lost"
    SETTLEMENT_LATE = "settlement late"
    CONFIRMATION_LOST = "confirmation lost"
    CUT_AFTER_SETTLEMENT = "cut after a settlement"
    CUT_AFTER_RENEWAL = "cut after a renewal"
    LOSE_LOCK = "lose a lock"
    LOSE_LOCKS = "lose all locks"
    TOKENS_REFUSED = "tokens refused"
    TOKENS_LATE = "tokens late"
    FLOWS_DOWN = "flows down"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedHarm:
    """`delay_s` after its trigger; for `lasts_s` where it lasts."""

    at_s: float
    kind: Kind
    trigger: Trigger
    delay_s: float
    lasts_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """A kind of round. `harms`: how many a second; `rough`: the share of requests whose flow may misbehave."""

    name: str
    harms: Mapping[Kind, float]
    rough: float = 0.2
    long: float = 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    number: int
    weather: Weather
    load_s: float
    asked: tuple[Asked, ...]
    harms: tuple[PlannedHarm, ...]


_OF_A_PROCESS: Final = frozenset({Kind.KILL, Kind.TERM, Kind.TERM_TWICE, Kind.FREEZE, Kind.FREEZE_BRIEFLY})
_AWAITS: Final = tuple(each for each in Trigger if each not in {Trigger.NOW, Trigger.DRAINING})
# The harms that need an occasion of their own, or make no sense at another.
_TRIGGERS: Final[Mapping[Kind, tuple[Trigger, ...]]] = {
    Kind.CUT_BEFORE_REPLY: (Trigger.REPLY_SENT,),
    Kind.LOSE_LOCK: (
        Trigger.DELIVERED,
        Trigger.CALLED,
        Trigger.ANSWERED,
        Trigger.REPLY_TAKEN,
        Trigger.COPY_TAKEN,
        Trigger.RENEWAL,
        Trigger.SETTLING,
    ),
    Kind.RESET: (*_AWAITS, Trigger.NOW, Trigger.NOW),
    Kind.DETACH_REQUESTS: (Trigger.NOW, Trigger.SETTLING, Trigger.DELIVERED, Trigger.RENEWAL),
    Kind.RESET_REQUESTS: (Trigger.NOW, Trigger.SETTLING, Trigger.DELIVERED, Trigger.RENEWAL, Trigger.DRAINING),
    Kind.RESET_REPLIES: (Trigger.NOW, Trigger.REPLY_TAKEN, Trigger.ANSWERED, Trigger.DRAINING),
    Kind.DETACH_REPLIES: (Trigger.NOW, Trigger.REPLY_TAKEN, Trigger.ANSWERED, Trigger.DRAINING),
}
_PROCESS: Final = (*_AWAITS, *[Trigger.NOW] * 5, Trigger.DRAINING)

_SETTLING: Final = {
    Kind.SETTLEMENT_LOST: 0.25,
    Kind.SETTLEMENT_LATE: 0.25,
    Kind.CONFIRMATION_LOST: 0.25,
    Kind.CUT_AFTER_SETTLEMENT: 0.25,
    Kind.CUT_AFTER_RENEWAL: 0.2,
    Kind.LOSE_LOCK: 0.4,
    Kind.LOSE_LOCKS: 0.05,
    Kind.CUT_AFTER_REPLY: 0.2,
    Kind.CUT_AFTER_COPY: 0.2,
    Kind.CUT_BEFORE_REPLY: 0.2,
}
_NETWORK: Final = {
    Kind.RESET: 0.25,
    Kind.CLOSE: 0.1,
    Kind.RESET_REQUESTS: 0.2,
    Kind.RESET_REPLIES: 0.2,
    Kind.SILENCE: 0.1,
    Kind.DETACH_REQUESTS: 0.2,
    Kind.DETACH_REPLIES: 0.2,
    Kind.AWAY: 0.06,
    Kind.BUSY_REPLIES: 0.15,
    Kind.BUSY_COPIES: 0.1,
    Kind.BUSY_LANES: 0.1,
}
_DRAINS: Final = {Kind.TERM: 0.25, Kind.TERM_TWICE: 0.1, Kind.FREEZE: 0.04, Kind.FREEZE_BRIEFLY: 0.1}
_FLOWS: Final = {Kind.TOKENS_REFUSED: 0.08, Kind.TOKENS_LATE: 0.05, Kind.FLOWS_DOWN: 0.08}


def _share(harms: Mapping[Kind, float], share: float) -> dict[Kind, float]:
    return {kind: rate * share for kind, rate in harms.items()}


WEATHERS: Final = (
    Weather(name="kills", harms={Kind.KILL: 1.1, **_share(_SETTLING, 0.3)}),
    Weather(name="flows", harms=_FLOWS, rough=0.3, long=0.06),
    Weather(name="settling", harms={Kind.KILL: 0.7, **_SETTLING}),
    Weather(name="drains", harms={Kind.KILL: 0.6, **_DRAINS, **_share(_SETTLING, 0.2)}),
    Weather(name="kills", harms={Kind.KILL: 1.1, **_share(_FLOWS, 0.5), **_share(_NETWORK, 0.2)}),
    Weather(name="network", harms={Kind.KILL: 0.6, **_NETWORK}),
    Weather(
        name="everything",
        harms={
            Kind.KILL: 0.9,
            **_share(_SETTLING, 0.5),
            **_share(_NETWORK, 0.5),
            **_share(_DRAINS, 0.4),
            **_share(_FLOWS, 0.5),
        },
    ),
)
ACCEPTED: Final = 0.03  # of calm requests, with a 202
CALM_ALL_THE_SAME: Final = 0.5  # of those whose flow is in trouble
# For a bug that is to be caught soon: something of everything early on, and more of it.
SOON: Final = tuple(
    replace(each, harms=_share(each.harms, 2.0))
    for name in ("drains", "network", "settling", "kills", "flows")
    for each in WEATHERS
    if each.name == name
)
_QUIET_END_S: Final = 4.0  # of the load: nothing long is asked for any more


def draw(seed: int, number: int, *, load_s: float, per_s: float, weather: Weather | None = None) -> Plan:
    weather = weather or WEATHERS[number % len(WEATHERS)]
    random = Random(f"{seed}/{number}/{weather.name}")
    asked = tuple(
        _asked(random, f"r{number}-{index}", at_s=(index + random.random()) / per_s, load_s=load_s, weather=weather)
        for index in range(round(per_s * load_s))
    )
    harms = [
        _harm(random, kind, load_s)
        for kind, per_s in weather.harms.items()
        for _ in range(_count(random, per_s * load_s))
    ]
    return Plan(
        number=number,
        weather=weather,
        load_s=load_s,
        asked=asked,
        harms=tuple(sorted(harms, key=lambda harm: harm.at_s)),
    )


def _count(random: Random, expected: float) -> int:
    return int(expected) + (random.random() < expected % 1)


def _harm(random: Random, kind: Kind, load_s: float) -> PlannedHarm:
    triggers = _TRIGGERS.get(kind, _PROCESS if kind in _OF_A_PROCESS else (Trigger.NOW,))
    lasts_s = {
        Kind.FREEZE: random.uniform(LOCK_S + 0.5, LOCK_S + 3.0),
        Kind.FREEZE_BRIEFLY: random.uniform(0.3, 2.0),
        Kind.SILENCE: random.uniform(1.0, LOCK_S + 2.0),
        Kind.AWAY: random.uniform(0.5, 3.0),
        Kind.TOKENS_REFUSED: random.uniform(1.0, 12.0),
        Kind.TOKENS_LATE: random.uniform(1.0, 6.0),
        Kind.FLOWS_DOWN: random.uniform(0.5, 3.0),
    }.get(kind, 0.0)
    return PlannedHarm(
        at_s=random.uniform(0.2, load_s),
        kind=kind,
        trigger=random.choice(triggers),
        delay_s=random.choice((0.0, 0.0, random.uniform(0.0, 0.03))),
        lasts_s=lasts_s,
    )


def _asked(random: Random, request_id: str, *, at_s: float, load_s: float, weather: Weather) -> Asked:
    way = random.choice((Way.REQUESTER, Way.REQUESTER, Way.CALLER, Way.ONE_WAY))
    is_rough = random.random() < weather.rough
    flow = random.choice(IN_TROUBLE if is_rough else CALM)
    wrong = None
    if random.random() < 0.03 and way is not Way.REQUESTER:
        wrong = random.choice(tuple(Wrong) if way is Way.CALLER else (Wrong.MALFORMED, Wrong.UNROUTABLE))
    is_late = at_s > load_s - _QUIET_END_S
    return Asked(
        request_id=request_id,
        at_s=at_s,
        flow=flow,
        way=way,
        session=f"s{random.randrange(6)}",
        steps=_rough(random) if is_rough else _calm(random, weather, is_late=is_late),
        wrong=wrong,
    )


def _calm(random: Random, weather: Weather, *, is_late: bool) -> tuple[Step, ...]:
    if not is_late and random.random() < weather.long:
        return (Step(do=Do.ANSWER, after_s=random.uniform(LOCK_S + 0.4, CALL_S - 0.4)),)
    if random.random() < ACCEPTED:
        return (Step(do=Do.ACCEPT, polls=random.randrange(4)),)
    return (Step(do=Do.ANSWER, after_s=random.choice((0.0, 0.02, 0.05, 0.1, 0.3, 0.3 if is_late else 1.5))),)


def _rough(random: Random) -> tuple[Step, ...]:
    """As often as not troubles first; an answer last."""
    last = Step(do=Do.ANSWER, after_s=random.choice((0.0, 0.02, 0.1)))
    if random.random() < CALM_ALL_THE_SAME:
        return (last,)
    troubles = tuple(each for each in Do if each is not Do.ANSWER)
    return (*(_trouble(random, random.choice(troubles)) for _ in range(random.choice((1, 1, 1, 2, 3)))), last)


def _trouble(random: Random, do: Do) -> Step:
    after_s = 0.0 if do is Do.HANG else random.choice((0.0, 0.03, 0.2))
    return Step(do=do, after_s=after_s, polls=random.randrange(4) if do is Do.ACCEPT else 0)
