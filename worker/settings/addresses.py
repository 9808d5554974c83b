"""Addresses in settings: what they say, and what is wrong with them. No text here repeats a secret."""

import re
from ipaddress import ip_address
from urllib.parse import SplitResult, parse_qs, urlsplit

from worker.core.loopback import is_loopback
from worker.flow.locations import parse_url

_HOST = re.compile(r"(?!-)[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*", re.IGNORECASE)
_PORT = re.compile(r"[1-9][0-9]{0,4}")


def split_url(url: str) -> SplitResult | None:
    """None for what is no absolute http(s) URL with a host."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        usable = usable and bool(parse_url(url).host)  # as it is read when it is called
    except ValueError:
        return None
    return parts if usable and url.isprintable() and " " not in url else None


def has_signature(parts: SplitResult) -> bool:
    return any(name.lower() == "sig" for name in parse_qs(parts.query, keep_blank_values=True))


def check_namespace(name: str) -> str:
    """With a port only where the broker listens elsewhere than Service Bus does."""
    if ";" in name or "=" in name:
        raise ValueError(
            "expected a host name, got what looks like a connection string; that goes to connection_string"
        )
    host, colon, port = name.partition(":")
    is_full = bool(_HOST.fullmatch(host)) and ("." in host or is_loopback(host))
    if not is_full or (colon and not (_PORT.fullmatch(port) and int(port) <= 65_535)):
        raise ValueError(f"expected a full host name without sb:// or path, got {name!r:.100}")
    return name


def check_host(host: str) -> str:
    if not _HOST.fullmatch(host) and not _is_address(host):
        raise ValueError(f"expected a host name without scheme, port or path, got {host!r:.100}")
    return host


def connection_string_parts(text: str) -> dict[str, str]:
    """Its members by name in lower case; ones without a `=` are left out."""
    members = (member.partition("=") for member in text.strip().split(";"))
    return {name.strip().lower(): value.strip() for name, separator, value in members if separator}


def connection_string_fault(text: str) -> str | None:
    """What is wrong with it, never with its values."""
    parts = connection_string_parts(text)
    endpoint = parts.get("endpoint", "")
    try:
        host = urlsplit(endpoint).hostname if endpoint.startswith("sb://") else None
    except ValueError:
        host = None
    if not host:
        return "expected a connection string that begins Endpoint=sb://HOST/;…, and this one has no such Endpoint"
    if not (parts.get("sharedaccesskeyname") and parts.get("sharedaccesskey")) and not parts.get(
        "sharedaccesssignature"
    ):
        return "the connection string has no SharedAccessKeyName with SharedAccessKey, nor a SharedAccessSignature"
    if "entitypath" in parts:
        return "the connection string is one entity's (EntityPath), but the worker needs request and reply queues"
    return None


def uses_emulator(connection_string: str) -> bool:
    return connection_string_parts(connection_string).get("usedevelopmentemulator") == "true"


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
