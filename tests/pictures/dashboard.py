"""Ray's dashboard in a browser, behind its token."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.jobs.chromium import Browser

# Tables and figures come a moment after the page.
SETTLE_S = 6.0


def log_in(browser: Browser, address: str, token: str) -> None:
    """Type the token where the dashboard asks for it."""
    browser.open(address)
    browser.wait("document.querySelector('[role=dialog] input') !== null")
    browser.type("[role=dialog] input", token)
    browser.run(
        "[...document.querySelectorAll('[role=dialog] button')]"
        ".find(b => /submit/i.test(b.textContent)).click()"
    )
    browser.wait("document.querySelector('[role=dialog] input') === null")


def picture(browser: Browser, address: str, page: str, path: Path, size: tuple[int, int]) -> None:
    """One of its pages."""
    browser.look(size)
    browser.run("location.href = arguments[0]", f"{address}/#/{page}")
    time.sleep(SETTLE_S)
    browser.picture(path)
