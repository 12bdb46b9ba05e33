"""The page in a real browser: it loads without a complaint, finds, filters, plays and fits."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobs.report.collect import Collector
from jobs.report.watching import put_page
from storage.local import LocalStore
from tests.jobs.chromium import PHONE, WIDE, browser, served
from tests.jobs.report_store import BAD_ROW, FILM_S, add_film, add_night, film

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.jobs.chromium import Browser

__all__ = ["browser"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

MANY = 1000
LIMIT_MS = 200.0
READY = 'document.getElementById("grid").hasAttribute("data-ready")'
SEEN = """return [...document.querySelectorAll("#grid > li")]
    .map(node => node.querySelector(".id").textContent)"""
TIMED = """const began = performance.now(), box = document.getElementById("search");
    box.value = arguments[0]; box.dispatchEvent(new Event("input"));
    document.getElementById("grid").getBoundingClientRect();
    return performance.now() - began"""
ALL = ["balloon", "dawn-to-night", "hostile", "torn", "odd"]


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with films that play, a failure, and a bad row."""
    folder = tmp_path_factory.mktemp("night")
    store = LocalStore(folder)
    add_night(store, film())
    put_page(store, Collector(store))
    return folder


@pytest.fixture(params=["file", "http"])
def page(request: pytest.FixtureRequest, night: Path) -> Iterator[str]:
    if request.param == "file":
        yield (night / "index.html").as_uri()
    else:
        with served(night) as address:
            yield f"{address}/index.html"


@pytest.fixture
def opened(browser: Browser, night: Path) -> Browser:
    """The page from a disk, wide and light."""
    browser.look(WIDE)
    browser.open((night / "index.html").as_uri())
    browser.wait(READY)
    return browser


def type_in(browser: Browser, text: str) -> list[str]:
    browser.run(
        """const box = document.getElementById("search"); box.value = arguments[0];
        box.dispatchEvent(new Event("input"))""",
        text,
    )
    found: list[str] = browser.run(SEEN)
    return found


def test_it_loads_shows_everything_and_complains_of_nothing(browser: Browser, page: str) -> None:
    browser.look(WIDE)
    browser.open(page)
    browser.wait(READY)
    assert browser.run(SEEN) == ALL
    browser.wait(
        '[...document.querySelectorAll("#grid img")].every(image => image.naturalWidth === 112)'
        ' && document.querySelectorAll("#grid img").length === 3'
    )
    assert browser.run('return document.querySelector(".facts").innerText').startswith(
        "rendered\n3 of"
    )
    assert browser.complaints() == []


def test_a_film_really_plays(browser: Browser, page: str) -> None:
    browser.look(WIDE)
    browser.open(page)
    browser.wait(READY)
    assert browser.run('return document.querySelectorAll("video").length') == 0
    browser.click('a[href="#v=dawn-to-night"]')
    browser.wait('document.getElementById("player").open')
    browser.wait('document.querySelector(".stage video").currentTime > 0.3')
    film_s, width = browser.run(
        'const film = document.querySelector(".stage video");'
        "return [film.duration, film.videoWidth]"
    )
    assert (film_s, width) == (pytest.approx(FILM_S, abs=0.2), 112)
    assert browser.complaints() == []
    browser.press("ESCAPE")
    browser.wait('!document.getElementById("player").open')
    assert browser.run('return document.activeElement.getAttribute("href")') == "#v=dawn-to-night"


def test_hostile_text_is_text(opened: Browser) -> None:
    opened.run('location.hash = "v=hostile"')
    opened.wait('document.getElementById("player").open')
    assert "<img src=x" in opened.run('return document.querySelector(".words").textContent')
    assert BAD_ROW.value in opened.run('return document.querySelector("#attention").textContent')
    assert opened.run("return window.hacked ?? null") is None
    assert opened.run('return document.querySelectorAll("img[onerror], script").length') == 2
    opened.run(
        """const node = document.createElement("script"); node.textContent = "window.hacked = 3";
        document.body.append(node)"""
    )
    assert opened.run("return window.hacked ?? null") is None
    assert any("Content Security Policy" in said for said in opened.complaints())


def test_a_search_narrows_and_a_state_filters(opened: Browser) -> None:
    assert type_in(opened, "meadow NIGHT") == ["dawn-to-night"]
    assert type_in(opened, "warp_error") == ["torn"]
    assert type_in(opened, "no such thing") == []
    assert opened.run('return document.getElementById("empty").hidden') is False
    assert type_in(opened, "") == ALL
    opened.click('[data-state="rejected"]')
    assert opened.run(SEEN) == ["odd"]
    assert opened.run("return location.hash") == "#state=rejected"
    opened.click('[data-state=""]')
    assert opened.run(SEEN) == ALL
    opened.run(
        """const sort = document.getElementById("sort"); sort.value = "state";
        sort.dispatchEvent(new Event("change"))"""
    )
    assert opened.run(SEEN)[:2] == ["odd", "torn"]


def test_a_keyboard_is_enough(opened: Browser) -> None:
    opened.press("/")
    assert opened.run("return document.activeElement.id") == "search"
    for key in ("b", "a", "l", "l"):
        opened.press(key)
    assert opened.run(SEEN) == ["balloon"]
    opened.run('document.getElementById("search").value = ""')
    type_in(opened, "")
    opened.run('document.querySelector("#grid a").focus()')
    opened.press("ARROW_RIGHT")
    assert opened.run('return document.activeElement.getAttribute("href")') == "#v=dawn-to-night"
    opened.press("ENTER")
    opened.wait('document.getElementById("player").open')
    opened.press("ARROW_RIGHT")
    opened.wait('document.getElementById("title").textContent === "hostile"')
    assert opened.run('return document.querySelector(".command pre").textContent').startswith(
        "printf"
    )


def test_an_address_leads_to_one_film_and_one_view(browser: Browser, night: Path) -> None:
    browser.look(WIDE)
    browser.open(f"{(night / 'index.html').as_uri()}#q=torn&v=torn")
    browser.wait('document.getElementById("player").open')
    browser.wait(READY)
    assert browser.run(SEEN) == ["torn"]
    assert "QualityError" in browser.run('return document.querySelector(".trouble").textContent')


@pytest.mark.parametrize("dark", [False, True])
def test_colours_follow_the_reader_s_scheme_and_can_be_read(opened: Browser, dark: bool) -> None:
    opened.look(WIDE, dark=dark)
    for selector in (".prompt", ".dim", ".facts dt", ".states button", "td.failed", "td.rejected"):
        ground, ink = opened.run(
            """const color = (node) => getComputedStyle(node);
            const node = document.querySelector(arguments[0]);
            return [color(document.body).backgroundColor, color(node).color]""",
            selector,
        )
        light, faint = sorted((luminance(ground), luminance(ink)), reverse=True)
        assert (light + 0.05) / (faint + 0.05) >= 4.5, selector
        assert (luminance(ground) < 0.1) is dark


def luminance(color: str) -> float:
    """WCAG's relative luminance of ``rgb(r, g, b)``."""
    shares = [int(part) / 255 for part in re.findall(r"\d+", color)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("place", ["", "#v=dawn-to-night", "#v=torn"])
def test_a_phone_needs_no_scrolling_sideways(browser: Browser, night: Path, place: str) -> None:
    browser.look(PHONE)
    browser.open(f"{(night / 'index.html').as_uri()}{place}")
    browser.wait(READY)
    widest = "return Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)"
    assert browser.run(widest) <= PHONE[0]
    assert browser.run('return document.querySelector(".body").scrollWidth') <= PHONE[0]


def test_a_thousand_films_are_found_at_once(browser: Browser, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "many")
    for number in range(MANY):
        add_film(store, f"film-{number:04d}", {0.0: f"picture {number} of a long night"})
    put_page(store, Collector(store))
    browser.look(WIDE)
    browser.open((tmp_path / "many" / "index.html").as_uri())
    browser.wait(READY)
    assert len(browser.run(SEEN)) == MANY

    def took_ms(text: str) -> float:
        """From the key to the finished layout; the best of three, on a machine with other work."""
        tries = []
        for before in ("", "film-0001", "zzz"):
            type_in(browser, before)
            tries.append(browser.run(TIMED, text))
        return min(tries)

    slowest = {text: took_ms(text) for text in ("picture 77 ", "", "film-0500", "night", "no such")}
    assert max(slowest.values()) < LIMIT_MS, slowest
    assert type_in(browser, "film-0500") == ["film-0500"]


@pytest.mark.skipif("NIGHTREEL_PICTURES" not in os.environ, reason="nobody wants to look")
def test_pictures_to_look_at(browser: Browser, night: Path) -> None:
    folder = Path(os.environ["NIGHTREEL_PICTURES"])
    for name, size, dark, place in (
        ("wide-dark", WIDE, True, ""),
        ("wide-light", WIDE, False, ""),
        ("phone", PHONE, True, ""),
        ("player", WIDE, True, "#v=dawn-to-night"),
    ):
        browser.look(size, dark=dark)
        browser.open(f"{(night / 'index.html').as_uri()}{place}")
        browser.wait(READY)
        browser.picture(folder / f"{name}.png")
        assert (folder / f"{name}.png").stat().st_size > 10_000
