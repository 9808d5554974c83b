"""What the worker says: one JSON object a line for machines, coloured lines for a terminal, never a secret.

Event names are stable; third parties' logging comes out through the same door. The finished line is redacted, so no
depth of nesting, exception text or odd value type can carry a secret around it.
"""

import contextlib
import logging
import sys
from json import dumps as dump_ascii
from typing import TextIO, cast

import orjson
import structlog
from structlog.typing import EventDict, Processor, ProcessorReturnValue, WrappedLogger

from worker.core.redaction import redact

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
# At DEBUG the bus SDK formats a line on every loop pass: about 47 % more CPU. INFO repeats what we say ourselves.
_QUIET = ("azure", "aiohttp.access", "asyncio")
# The one logs a traceback for every lost link, the other what a token endpoint said, whatever that holds; our own lines
# tell both in a sentence.
_SILENT = ("azure.servicebus", "azure.identity")


def configure(level: str = "info", json: bool | None = None, process: int | None = None) -> None:
    """Log to stderr. `json` None: for machines unless stderr is a terminal. Raises ValueError for an unknown level.

    `process`: said in every line, where several write to the same stderr.
    """
    if (threshold := _LEVELS.get(level.lower())) is None:
        raise ValueError(f"expected one of {', '.join(_LEVELS)} as log level, got {level!r:.40}")
    as_json = not sys.stderr.isatty() if json is None else json
    entry: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *([] if process is None else [_of_process(process)]),
    ]
    line: list[Processor] = [structlog.processors.format_exc_info, _json_line] if as_json else [_console_line()]
    structlog.configure(
        processors=[*entry, *line],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _Sink(sys.stderr))),
        cache_logger_on_first_use=True,
    )
    _adopt_standard_logging(threshold, entry, line)


class _Sink:
    """A stream whose loss (its reader gone, the disk full) must not stop the work that is logged."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()


def _adopt_standard_logging(threshold: int, entry: list[Processor], line: list[Processor]) -> None:
    door = logging.StreamHandler(sys.stderr)
    door.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*entry, structlog.stdlib.add_logger_name, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *line],
        )
    )
    root = logging.getLogger()
    root.handlers = [door]
    root.setLevel(threshold)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(threshold, logging.WARNING))
    for name in _SILENT:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _of_process(number: int) -> Processor:
    def add(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event.setdefault("process", number)
        return event

    return add


def _console_line() -> Processor:
    # The default formatter of exceptions prints the values of local variables.
    console = structlog.dev.ConsoleRenderer(colors=True, exception_formatter=structlog.dev.plain_traceback)
    return lambda logger, method, event: redact(console(logger, method, event))


def _json_line(_logger: WrappedLogger, _method: str, event: EventDict) -> ProcessorReturnValue:
    try:
        line = orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # half a surrogate pair, or a repr that fails: say what can be said
        line = dump_ascii({name: ascii(value) for name, value in event.items()})
    return redact(line)
