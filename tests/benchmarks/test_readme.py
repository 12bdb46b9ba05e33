from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.readme import with_section, write_section

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENT = "prose\n<!-- begin a -->\nold\n<!-- end a -->\nmore\n<!-- begin b -->\n<!-- end b -->\n"


def test_a_section_is_replaced_and_the_prose_stays(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(DOCUMENT)
    write_section(path, "a", "| new |\n")
    write_section(path, "a", "| newer |")
    assert path.read_text() == DOCUMENT.replace("old", "| newer |")


@pytest.mark.parametrize("name", ["c", "A"])
def test_a_section_that_is_not_there_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        with_section(DOCUMENT, name, "new")


def test_markers_in_the_wrong_order_or_twice_are_an_error() -> None:
    with pytest.raises(ValueError, match="once each"):
        with_section("<!-- end a --> <!-- begin a -->", "a", "new")
    with pytest.raises(ValueError, match="once each"):
        with_section(DOCUMENT + DOCUMENT, "a", "new")
