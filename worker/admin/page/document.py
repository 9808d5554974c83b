"""The page in one piece: its style and its script stand in it, and are the only ones that may run in it."""

import base64
import hashlib
from dataclasses import dataclass
from importlib import resources
from typing import Final

# In this order they are one script.
SCRIPTS: Final = (
    "format.js",
    "elements.js",
    "verdict.js",
    "charts.js",
    "flows.js",
    "facts.js",
    "steering.js",
    "page.js",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """`policy`: the Content-Security-Policy to send it with."""

    body: bytes
    policy: str


def assembled_page() -> Page:
    style = _part("page.css")
    script = "".join(("\n(() => {\n", '"use strict";\n', *(_part(name) for name in SCRIPTS), "})();\n"))
    html = _part("page.html").replace("/* page.css */", style).replace("/* page.js */", script)
    policy = (
        "default-src 'none'",
        f"script-src '{_hash_of(script)}'",
        f"style-src '{_hash_of(style)}'",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
    return Page(body=html.encode(), policy="; ".join(policy))


def _part(name: str) -> str:
    return (resources.files(__package__) / name).read_text(encoding="utf-8")


def _hash_of(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
