"""Which lines of the product an input reached first. Costs little once most were seen: whole functions are let go."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final, TypeAlias

import worker

_ROOT: Final = str(Path(worker.__file__).parent) + "/"
_Trace: TypeAlias = Callable[[FrameType, str, Any], Any]


class Guide:
    """`lines` counts those seen so far."""

    def __init__(self, covers: tuple[str, ...]) -> None:
        self._prefixes = tuple(_ROOT + prefix for prefix in covers)
        self._unseen: dict[CodeType, set[int]] = {}
        self.lines = 0

    @contextmanager
    def watching(self) -> Iterator[None]:
        before = sys.gettrace()
        sys.settrace(self._on_call)
        try:
            yield
        finally:
            sys.settrace(before)

    def _on_call(self, frame: FrameType, _event: str, _argument: object) -> _Trace | None:
        unseen = self._unseen.get(frame.f_code)
        if unseen is None:
            unseen = self._unseen[frame.f_code] = self._lines_of(frame.f_code)
        if not unseen:
            return None

        def on_line(line_frame: FrameType, event: str, _argument: object) -> _Trace | None:
            if event == "line" and line_frame.f_lineno in unseen:
                unseen.discard(line_frame.f_lineno)
                self.lines += 1
            return on_line if unseen else None

        return on_line

    def _lines_of(self, code: CodeType) -> set[int]:
        if not code.co_filename.startswith(self._prefixes):
            return set()
        return {line for _, _, line in code.co_lines() if line is not None and line != code.co_firstlineno}
