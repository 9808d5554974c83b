"""The emulator's certificate and key, read from files, with what is wrong with them in words."""

import ssl
from pathlib import Path

from worker.cli.failure import CommandFailed


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Raises CommandFailed."""
    for file in (certificate, key):
        _check_readable(file)
    try:
        ssl.create_default_context(cafile=certificate)
    except ssl.SSLError:
        raise CommandFailed(f"{certificate} holds no certificate. --tls-cert wants one in PEM.") from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password=_none_is_asked_for)
    except ssl.SSLError as wrong:
        if wrong.reason == "KEY_VALUES_MISMATCH":
            why = (
                f"The key in {key} is not that of the certificate in {certificate}. Give the two that belong together."
            )
            raise CommandFailed(why) from None
        raise CommandFailed(f"{key} holds no key. --tls-key wants one in PEM, without a pass phrase.") from None
    return context


def _check_readable(file: Path) -> None:
    try:
        with file.open("rb"):
            pass
    except OSError as failed:
        raise CommandFailed(f"Can't read {file}: {failed.strerror}. Check the path and its rights.") from None


def _none_is_asked_for() -> str:
    """OpenSSL itself would ask at the terminal."""
    return ""
