"""Pictures of the status page in all states, for people to judge: `python tests/admin/screenshots.py FOLDER`."""

import asyncio
import sys
import tempfile
from itertools import product
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from admin.chromium import Browser, chromium
from admin.documents import STATES
from admin.stage import staged

LATER = "(() => { const real = performance.now.bind(performance); performance.now = () => real() + 12000; })()"


async def pictured(browser: Browser, folder: Path, name: str, width: int, scheme: str) -> None:
    async def take(title: str, *, is_whole: bool = True) -> None:
        picture = await tab.screenshot(is_whole=is_whole)
        await asyncio.to_thread((folder / f"{title}-{width}-{scheme}.png").write_bytes, picture)

    async with browser.tab(width=width, height=900 if width > 600 else 844) as tab:
        await tab.prefer(prefers_color_scheme=scheme)
        async with staged() as stage:
            stage.document = STATES[name]()
            await tab.go(stage.url)
            await tab.until("look.isShown()")
            await tab.evaluate("look.find('.more details')?.setAttribute('open', '')")
            await take(name)
            if name == "one-open":
                await tab.click(".flows button")
                await take("steering", is_whole=False)
        if name == "all-fine":
            await tab.evaluate(LATER)
            await tab.until("look.text('#contact') === 'no contact'")
            await take("no-contact")


async def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        async with chromium(Path(profile)) as browser:
            for name, width, scheme in product(STATES, (1280, 390), ("light", "dark")):
                await pictured(browser, folder, name, width, scheme)


if __name__ == "__main__":
    chosen = Path(sys.argv[1])
    chosen.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(chosen))
