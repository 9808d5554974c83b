"""What OpenTelemetry logs, kept from everybody's log: it quotes secrets, and its texts are no events."""

import logging
from collections.abc import Mapping
from typing import Final

from worker.core.redaction import redact
from worker.tracing.variables import headers_fault, secrets_of

LOGGER: Final = "opentelemetry"
_OF_HEADERS: Final = "opentelemetry.util.re"  # says nothing but that, and quotes the header whole
_LONGEST: Final = 300
_MOST: Final = 10  # texts that are kept: which one is the cause is known later


class SdkLog(logging.Handler):
    """From its making until `close`. To be made before the SDK is imported, which logs already then."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__(logging.WARNING)
        self._secrets = secrets_of(environ)
        self._headers_fault = headers_fault(environ)
        self._logger = logging.getLogger(LOGGER)
        self._logger.addHandler(self)
        self._logger.propagate = False
        self._said: list[str] = []

    @property
    def said(self) -> tuple[str, ...]:
        """Since `forget`, each once."""
        return tuple(dict.fromkeys(self._said))

    def forget(self) -> None:
        self._said = []

    def without_secrets(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return redact(text)[:_LONGEST]

    def emit(self, record: logging.LogRecord) -> None:
        if len(self._said) < _MOST:
            is_of_headers = record.name == _OF_HEADERS
            self._said.append(self._headers_fault if is_of_headers else self.without_secrets(record.getMessage()))

    def close(self) -> None:
        self._logger.removeHandler(self)
        self._logger.propagate = True
        super().close()
