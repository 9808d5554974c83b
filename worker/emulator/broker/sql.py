"""The part of Service Bus's SQL filter language that this broker understands."""

import re
from typing import Final

from worker.emulator.broker.errors import InvalidFilterError
from worker.emulator.broker.filters import SYSTEM_PROPERTIES, Comparison, Literal, Operator, Property, SqlFilter

_TOKEN: Final = re.compile(
    r"""\s*(?:
        (?P<text>'(?:[^']|'')*')
      | (?P<number>[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?\b)
      | (?P<operator><>|!=|=)
      | (?P<word>[a-z_][\w.-]*)
    )""",
    re.VERBOSE | re.IGNORECASE,
)
_COMPARISONS: Final = {"=": Operator.EQUAL, "<>": Operator.NOT_EQUAL, "!=": Operator.NOT_EQUAL}
_GRAMMAR: Final = (
    "this broker takes  property = 'value' [AND …]  with =, <>, !=, IS NULL, IS NOT NULL, text, numbers, TRUE, FALSE "
    "and sys. properties"
)
_RESERVED: Final = frozenset({"and", "or", "not", "in", "like", "is", "null", "exists", "between", "escape"})


def parse_sql(expression: str) -> SqlFilter:
    """`property = 'value' [AND …]` with `=`, `<>`, `!=`, `IS [NOT] NULL`; text, numbers, booleans; `sys.` properties.

    Raises InvalidFilterError for anything else of Service Bus's SQL.
    """
    return SqlFilter(comparisons=tuple(_Parser(expression).conjunction()))


class _Parser:
    def __init__(self, expression: str) -> None:
        self._expression = expression
        self._tokens = self._tokenize()

    def _tokenize(self) -> list[tuple[str, str]]:
        """Kind and text of each token, the last one first."""
        tokens: list[tuple[str, str]] = []
        at = 0
        text = self._expression.rstrip()
        while at < len(text):
            token = _TOKEN.match(text, at)
            if token is None or token.lastgroup is None:
                raise self._refusal(text[at:].strip())
            tokens.append((token.lastgroup, token[token.lastgroup]))
            at = token.end()
        return tokens[::-1]

    def conjunction(self) -> list[Comparison]:
        comparisons = [self._comparison()]
        while self._tokens:
            self._expect_word("and")
            comparisons.append(self._comparison())
        return comparisons

    def _comparison(self) -> Comparison:
        left = self._operand()
        kind, text = self._next()
        if kind == "operator":
            return Comparison(left=left, operator=_COMPARISONS[text], right=self._operand())
        if text.lower() != "is":
            raise self._refusal(text)
        negated = bool(self._tokens) and self._tokens[-1][1].lower() == "not"
        if negated:
            self._next()
        self._expect_word("null")
        return Comparison(left=left, operator=Operator.IS_NOT_NULL if negated else Operator.IS_NULL)

    def _operand(self) -> Property | Literal:
        kind, text = self._next()
        match kind:
            case "text":
                return Literal(value=text[1:-1].replace("''", "'"))
            case "number":
                return Literal(value=self._number(text))
            case "word" if text.lower() in ("true", "false"):
                return Literal(value=text.lower() == "true")
            case "word" if text.lower() not in _RESERVED:
                return self._property(text)
            case _:
                raise self._refusal(text)

    def _number(self, text: str) -> int | float:
        if not text.lstrip("+-").isdecimal():
            return float(text)
        try:
            return int(text)
        except ValueError:  # more digits than Python reads
            raise self._refusal(text) from None

    def _property(self, text: str) -> Property:
        scope, _, name = text.rpartition(".")
        if scope.lower() in ("", "user"):
            return Property(name=name, system=False)
        attribute = SYSTEM_PROPERTIES.get(name.lower()) if scope.lower() == "sys" else None
        if attribute is None:
            raise self._refusal(text)
        return Property(name=attribute, system=True)

    def _expect_word(self, word: str) -> None:
        kind, text = self._next()
        if kind != "word" or text.lower() != word:
            raise self._refusal(text)

    def _next(self) -> tuple[str, str]:
        if not self._tokens:
            raise self._refusal("its end")
        return self._tokens.pop()

    def _refusal(self, at: str) -> InvalidFilterError:
        return InvalidFilterError(f"SQL filter {self._expression!r} can't be evaluated from {at!r} on: {_GRAMMAR}")
