"""A headless Chromium, driven through its own driver; skipped where there is none.

``NIGHTREEL_NEEDS_CHROMIUM=1`` makes its absence a failure: for a machine that has to have it.
"""

from __future__ import annotations

import functools
import os
import shutil
import threading
import time
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_S = 30.0
WIDE = (1440, 900)
PHONE = (390, 844)


class Browser:
    """One tab."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver

    def open(self, address: str) -> None:
        """Load a page anew, and forget what was logged before."""
        self._driver.get("about:blank")
        self._driver.get_log("browser")
        self._driver.get(address)

    def run(self, program: str, *arguments: object) -> Any:
        """What JavaScript returns."""
        return self._driver.execute_script(program, *arguments)

    def wait(self, program: str) -> Any:
        """Until an expression is true; its value."""
        end_s = time.monotonic() + PATIENCE_S
        while not (value := self.run(f"return {program}")):
            if time.monotonic() > end_s:
                pytest.fail(f"not within {PATIENCE_S:g} s: {program}; {self.complaints()}")
            time.sleep(0.05)
        return value

    def press(self, key: str) -> None:
        """A key, such as ``Escape``, to whatever has the focus."""
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.keys import Keys

        ActionChains(self._driver).send_keys(getattr(Keys, key.upper(), key)).perform()

    def click(self, selector: str) -> None:
        """On the first element that a CSS selector finds, as a hand does."""
        self._driver.find_element("css selector", selector).click()

    def type(self, selector: str, text: str) -> None:
        """Into the first element that a CSS selector finds."""
        self._driver.find_element("css selector", selector).send_keys(text)

    def look(self, size: tuple[int, int] = WIDE, *, dark: bool = False) -> None:
        """Set the size of the window in CSS pixels, and the scheme of colours."""
        width, height = size
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        self._driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})

    def picture(self, path: Path) -> None:
        """What is to be seen, as PNG."""
        self._driver.save_screenshot(str(path))

    def complaints(self) -> list[str]:
        """What the page said on the console, refused requests among it."""
        return [entry["message"] for entry in self._driver.get_log("browser")]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A browser for all tests that ask for it."""
    with running() as found:
        yield found


@contextmanager
def running() -> Iterator[Browser]:
    """A browser that ends with the block."""
    program, driver = _found(BROWSERS), _found(("chromedriver",))
    if program is None or driver is None:
        _absent("no Chromium with its driver on this machine")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    flags = ["--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    if os.geteuid() == 0:
        flags.append("--no-sandbox")
    for flag in flags:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=driver)
    chrome = webdriver.Chrome(options=options, service=service)
    try:
        yield Browser(chrome)
    finally:
        chrome.quit()


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a folder on loopback, as a bucket's site would serve it."""
    handler: Callable[..., _Quiet] = functools.partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing."""


def _found(names: tuple[str, ...]) -> str | None:
    return next(filter(None, map(shutil.which, names)), None)


def _absent(reason: str) -> None:
    if os.environ.get("NIGHTREEL_NEEDS_CHROMIUM"):
        pytest.fail(reason)
    pytest.skip(reason)
