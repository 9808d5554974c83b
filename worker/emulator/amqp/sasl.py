"""The SASL layer (part 5.3): one mechanism, one response, one outcome; no mechanism here needs a challenge."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final, NamedTuple

from worker.emulator.amqp import errors
from worker.emulator.amqp.errors import LocalProtocolError, RemoteProtocolError
from worker.emulator.amqp.events import SaslFinished, SaslRequested
from worker.emulator.amqp.performatives import SaslInit, SaslMechanisms, SaslOutcome, SaslPerformative

OK: Final = 0
AUTH_FAILED: Final = 1


class Turn(Enum):
    """What is expected next, and from whom."""

    MECHANISMS = auto()
    INIT = auto()
    ANSWER = auto()
    """This end's own: the server's application decides."""
    OUTCOME = auto()
    OVER = auto()


class Step(NamedTuple):
    reply: SaslPerformative | None = None
    event: SaslRequested | SaslFinished | None = None


class ServerExchange:
    def __init__(self, mechanisms: tuple[str, ...]) -> None:
        self.offer = SaslMechanisms(mechanisms)
        self.turn = Turn.INIT

    def hear(self, performative: SaslPerformative) -> Step:
        """Raises RemoteProtocolError."""
        if not isinstance(performative, SaslInit) or self.turn is not Turn.INIT:
            raise out_of_turn(performative)
        if performative.mechanism not in self.offer.sasl_server_mechanisms:
            self.turn = Turn.OVER
            return Step(reply=SaslOutcome(AUTH_FAILED))
        self.turn = Turn.ANSWER
        return Step(event=SaslRequested(performative.mechanism, performative.initial_response or b""))

    def answer(self, *, is_accepted: bool) -> SaslOutcome:
        if self.turn is not Turn.ANSWER:
            raise LocalProtocolError("the client has not chosen a SASL mechanism")
        self.turn = Turn.OVER
        return SaslOutcome(OK if is_accepted else AUTH_FAILED)


class ClientExchange:
    def __init__(self, choice: SaslInit) -> None:
        self._choice = choice
        self._turn = Turn.MECHANISMS

    def hear(self, performative: SaslPerformative) -> Step:
        """Raises RemoteProtocolError."""
        if isinstance(performative, SaslMechanisms) and self._turn is Turn.MECHANISMS:
            self._turn = Turn.OUTCOME
            return Step(reply=self._choice)
        if isinstance(performative, SaslOutcome) and self._turn is Turn.OUTCOME:
            self._turn = Turn.OVER
            return Step(event=SaslFinished(performative.code == OK))
        raise out_of_turn(performative)


def out_of_turn(performative: SaslPerformative) -> RemoteProtocolError:
    return RemoteProtocolError(
        errors.ILLEGAL_STATE, f"{type(performative).__name__} is out of turn in the SASL exchange"
    )
