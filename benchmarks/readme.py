"""Figures in a README: a benchmark writes its own section and leaves the prose alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def write_section(path: Path, name: str, text: str) -> None:
    """Replace what stands between a README's ``<!-- begin NAME -->`` and ``<!-- end NAME -->``.

    Raises:
        ValueError: the README does not have each marker once, in this order.
    """
    path.write_text(with_section(path.read_text(encoding="utf-8"), name, text), encoding="utf-8")


def with_section(document: str, name: str, text: str) -> str:
    """The document with a section's text replaced."""
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    before, found_begin, rest = document.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end or begin in after or end in before + after:
        raise ValueError(f"expected {begin!r} and {end!r} once each, in this order")
    return f"{before}{begin}\n{text.strip()}\n{end}{after}"
