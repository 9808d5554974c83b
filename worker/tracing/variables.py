"""The variables that OpenTelemetry's SDKs have in common, as far as they matter here. No text repeats a secret."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Final
from urllib.parse import unquote, urlsplit

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
HEADERS: Final = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
QUEUE_SIZE: Final = "OTEL_BSP_MAX_QUEUE_SIZE"
USUAL_QUEUE_SIZE: Final = 2048


def is_wanted(environ: Mapping[str, str]) -> bool:
    is_disabled = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    has_exporter = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() != "none"
    return has_exporter and not is_disabled and bool(first(environ, ENDPOINTS))


def first(environ: Mapping[str, str], names: tuple[str, ...]) -> str:
    """OpenTelemetry takes an empty variable for none."""
    return environ.get(named(environ, names), "").strip()


def named(environ: Mapping[str, str], names: tuple[str, ...]) -> str:
    """Which of them counts; where none is set, the most general."""
    return next((name for name in names if environ.get(name, "").strip()), names[-1])


def endpoint_fault(environ: Mapping[str, str]) -> str | None:
    """An address may hold a key, so it isn't quoted."""
    try:
        url = urlsplit(first(environ, ENDPOINTS))
        is_usable = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        is_usable = False
    if is_usable:
        return None
    return (
        f"{named(environ, ENDPOINTS)}: expected the collector's URL, http://HOST:4318 or https://HOST, got another text"
    )


def headers_fault(environ: Mapping[str, str]) -> str:
    """What to say of headers that the SDK can't read."""
    return (
        f"{named(environ, HEADERS)}: expected NAME=VALUE, several with commas between them, and one of them is "
        "something else, so it is not sent; percent-encode what a value may not hold"
    )


def secrets_of(environ: Mapping[str, str]) -> list[str]:
    """What the SDK might quote: the values of headers, and of an endpoint all that may be a key."""
    found: set[str] = set()
    for name in ENDPOINTS:
        with suppress(ValueError):
            url = urlsplit(environ.get(name, ""))
            found |= {url.query, url.password or ""}
    for pair in (pair for name in HEADERS for pair in environ.get(name, "").split(",")):
        before, is_pair, value = pair.partition("=")
        found.add((value if is_pair else before).strip())
    found = {*found, *map(unquote, found)} - {""}
    return sorted(found | {repr(secret)[1:-1] for secret in found}, key=len, reverse=True)


def queue_size(environ: Mapping[str, str]) -> int:
    """As the SDK reads it, which tells nobody."""
    text = environ.get(QUEUE_SIZE, "").strip()
    return int(text) if text.isdecimal() else USUAL_QUEUE_SIZE
