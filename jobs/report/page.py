"""One HTML file from a report: style, program and data inside it, nothing fetched from elsewhere.

Everything from a manifest is hostile text. It goes into the page once, as JSON in a data block in
which no ``<`` stands, and from there into text nodes. The policy in the page's head lets nothing
run but the program whose hash it names, and nothing load but films and posters beside the page.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from jobs.report.collect import Report

CONTENT_TYPE: Final = "text/html; charset=utf-8"
PAGE_FORMAT: Final = 1
_SCRIPTS: Final = ("data.js", "elements.js", "plots.js", "grid.js", "player.js", "main.js")


def page_html(report: Report, *, refresh_s: float | None = None) -> bytes:
    """The page.

    Args:
        report: what it says.
        refresh_s: how often it is written anew while the job runs; ``None``: not any more.
    """
    data = report.as_plain() | {
        "format": PAGE_FORMAT,
        "nightreel": version("nightreel"),
        "refresh_s": refresh_s,
    }
    style, script = _style(), _script()
    name = report.uri.rstrip("/").rpartition("/")[2] or report.uri
    page = _template().substitute(
        policy=_policy(style, script),
        title=html.escape(f"{name}: {_totals(report)}"),
        style=style,
        script=script,
        data=_json(data),
    )
    return page.encode()


def _totals(report: Report) -> str:
    counts = [f"{count} {state}" for state, count in report.counts.items() if count]
    return ", ".join(counts) or "no videos"


def _json(data: dict[str, Any]) -> str:
    """JSON in ASCII without ``<``, ``>`` and ``&``: nothing in it can end its block."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _policy(style: str, script: str) -> str:
    """A content security policy: ``file:`` because a page from a disk has no origin to share."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hash(script)}",
            f"style-src {_hash(style)}",
            "img-src 'self' file: data:",
            "media-src 'self' file:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


@cache
def _template() -> Template:
    return Template(_asset("page.html"))


@cache
def _style() -> str:
    return f"\n{_asset('page.css')}"


@cache
def _script() -> str:
    """The program: its parts in one scope of their own."""
    parts = "\n".join(_asset(name) for name in _SCRIPTS)
    return f'\n"use strict";\n(() => {{\n{parts}}})();\n'


def _asset(name: str) -> str:
    return (files("jobs.report") / "page" / name).read_text(encoding="utf-8")
