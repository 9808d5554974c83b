"""The status page open in a browser, and what of it assistive technology meets."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from .chromium import Browser, Message, Tab
from .documents import Document
from .stage import Stage

HEADLINE = "look.text('#headline')"
VERDICT = "look.seen('#verdict')"
FLOWS = "look.texts('#flows tbody:not([hidden]) th')"


@dataclass(frozen=True, slots=True, kw_only=True)
class Accessible:
    role: str
    name: str
    level: int | None


@asynccontextmanager
async def shown(
    browser: Browser,
    stage: Stage,
    document: Document | None = None,
    *,
    width: int = 1280,
    expects_complaints: bool = False,
) -> AsyncIterator[Tab]:
    """The page with what it was served; at the end, that nothing was blocked and no script failed."""
    stage.document = document or stage.document
    async with browser.tab(width=width) as tab:
        await tab.go(stage.url)
        await tab.until("look.isShown()")
        yield tab
        if not expects_complaints:
            assert tab.complaints == []
            assert await tab.evaluate("window.violations") == []


async def accessible(tab: Tab) -> list[Accessible]:
    nodes = (await tab.ask("Accessibility.getFullAXTree"))["nodes"]
    return [_accessible(node) for node in nodes if not node["ignored"]]


def _accessible(node: Message) -> Accessible:
    levels = [each["value"]["value"] for each in node.get("properties", []) if each["name"] == "level"]
    return Accessible(
        role=node["role"]["value"],
        name=node.get("name", {}).get("value", "").strip(),
        level=levels[0] if levels else None,
    )
