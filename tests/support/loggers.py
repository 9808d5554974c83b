"""What a command leaves behind when it runs in the tests' own process."""

import sys
from typing import Final

import structlog

_LAZY: Final = type(structlog.get_logger())


def reset_loggers() -> None:
    """Logging as no command configured it; a logger that was used keeps its configuration otherwise."""
    structlog.reset_defaults()
    for name, module in list(sys.modules.items()):
        if name.startswith("worker."):
            for value in vars(module).values():
                if isinstance(value, _LAZY):
                    vars(value).pop("bind", None)
