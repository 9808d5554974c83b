"""What is behind an error of the SDK: it keeps one inside the other, in three ways."""

from collections.abc import Iterator


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error itself, then what it came from, each once."""
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        each = pending.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            yield each
            pending += (each.__context__, each.__cause__)
            inner = getattr(each, "inner_exception", None)
            if isinstance(inner, BaseException):
                pending.append(inner)
