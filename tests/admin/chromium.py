"""Headless Chromium over the DevTools protocol: as much of it as the tests of the page need."""

import asyncio
import base64
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

import aiohttp

Message: TypeAlias = dict[str, Any]

PROGRAM = "chromium"
_OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # tests may run as root in a container; what is shown is our own
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-component-update",
    "--disable-background-networking",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)
_KEYS = {"Tab": (9, ""), "Enter": (13, "\r"), "Escape": (27, "")}

_LOOK = Path(__file__).with_name("look.js").read_text(encoding="utf-8")


class Browser:
    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Message]] = {}
        self._tabs: dict[str, Tab] = {}

    async def listen(self) -> None:
        """Until the connection ends."""
        async for message in self._socket:
            said = json.loads(message.data)
            if (waiting := self._waiting.pop(said.get("id", 0), None)) is not None:
                if not waiting.done():
                    waiting.set_result(said)
            elif (tab := self._tabs.get(said.get("sessionId", ""))) is not None:
                tab.hear(said["method"], said["params"])

    async def ask(self, method: str, session: str | None = None, **params: object) -> Message:
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        to = {} if session is None else {"sessionId": session}
        await self._socket.send_json({"id": number, "method": method, "params": params, **to})
        async with asyncio.timeout(20):
            answer = await self._waiting[number]
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        result: Message = answer["result"]
        return result

    @asynccontextmanager
    async def tab(self, *, width: int = 1280, height: int = 900) -> AsyncIterator["Tab"]:
        """An empty one."""
        target = (await self.ask("Target.createTarget", url="about:blank"))["targetId"]
        session = (await self.ask("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        tab = self._tabs[session] = Tab(self, session)
        for domain in ("Page", "Runtime", "Log"):
            await tab.ask(f"{domain}.enable")
        await tab.ask("Page.addScriptToEvaluateOnNewDocument", source=_LOOK)
        await tab.resize(width, height)
        yield tab
        del self._tabs[session]
        await self.ask("Target.closeTarget", targetId=target)


class Tab:
    """`complaints`: exceptions of scripts, and what the browser itself put on the console."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session
        self.complaints: list[str] = []

    def hear(self, method: str, params: Message) -> None:
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Log.entryAdded":
            entry = params["entry"]
            self.complaints.append(f"{entry['text']} {entry.get('url', '')}")

    async def ask(self, method: str, **params: object) -> Message:
        return await self._browser.ask(method, self._session, **params)

    async def go(self, url: str) -> None:
        await self.ask("Page.navigate", url=url)

    async def resize(self, width: int, height: int) -> None:
        await self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    async def prefer(self, **features: str) -> None:
        """`prefers_color_scheme="dark"`, and the like."""
        wanted = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        await self.ask("Emulation.setEmulatedMedia", features=wanted)

    async def evaluate(self, expression: str) -> Any:
        answer = await self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression:.200}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    async def until(self, expression: str, *, within_s: float = 15.0) -> Any:
        """What it evaluates to, once that is truthy."""
        value = None
        try:
            async with asyncio.timeout(within_s):
                while not value:
                    value = await self.evaluate(expression)
                    await asyncio.sleep(0.02)
        except TimeoutError:
            shown = await self.evaluate("document.body?.innerText")
            raise AssertionError(f"never true: {expression}; the page shows:\n{shown}\n{self.complaints}") from None
        return value

    async def press(self, key: str) -> None:
        code, text = _KEYS[key]
        common = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        await self.ask("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **common)
        await self.ask("Input.dispatchKeyEvent", type="keyUp", **common)

    async def type(self, text: str) -> None:
        await self.ask("Input.insertText", text=text)

    async def click(self, selector: str) -> None:
        x, y = await self._middle_of(selector)
        for kind in ("mousePressed", "mouseReleased"):
            await self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    async def hover(self, selector: str) -> None:
        x, y = await self._middle_of(selector)
        await self.ask("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    async def _middle_of(self, selector: str) -> tuple[float, float]:
        x, y = await self.evaluate(f"look.middle({json.dumps(selector)})")
        return x, y

    async def screenshot(self, *, is_whole: bool = True) -> bytes:
        """PNG."""
        answer = await self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=is_whole)
        return base64.b64decode(answer["data"])


@asynccontextmanager
async def chromium(profile: Path) -> AsyncIterator[Browser]:
    """`profile`: an empty folder. FileNotFoundError where there is no Chromium."""
    process = await asyncio.create_subprocess_exec(
        PROGRAM,
        *_OPTIONS,
        f"--user-data-dir={profile}",
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        port, path = await _address(process, profile / "DevToolsActivePort")
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"ws://127.0.0.1:{port}{path}", max_msg_size=0) as socket,
        ):
            browser = Browser(socket)
            listening = asyncio.create_task(browser.listen())
            yield browser
            await browser.ask("Browser.close")
            await listening
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _address(process: asyncio.subprocess.Process, file: Path) -> tuple[str, str]:
    async with asyncio.timeout(30):
        while True:
            with suppress(FileNotFoundError, ValueError):
                return _read(file)
            if process.returncode is not None:
                raise RuntimeError(f"{PROGRAM} ended at once with status {process.returncode}")
            await asyncio.sleep(0.02)


def _read(file: Path) -> tuple[str, str]:
    port, path = file.read_text(encoding="ascii").split()
    return port, path
