"""How a benchmark reads its command line: its docstring is the help, unknown words are refused."""

from __future__ import annotations

import math
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter


def command_line(package: str, about: str | None) -> ArgumentParser:
    """A parser for ``python -m PACKAGE``; usage that it does not know ends the program with 2."""
    return ArgumentParser(
        prog=f"python -m {package}",
        description=about,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def positive(text: str) -> float:
    """A number above 0.

    Raises:
        ArgumentTypeError: it is none.
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0.0 < number < math.inf:
        raise ArgumentTypeError(f"got {text!r}, expected a number above 0")
    return number


def positive_int(text: str) -> int:
    """A whole number above 0.

    Raises:
        ArgumentTypeError: it is none.
    """
    if not text.isdecimal() or int(text) == 0:
        raise ArgumentTypeError(f"got {text!r}, expected a whole number above 0")
    return int(text)
