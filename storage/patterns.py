"""Wildcards in a manifest's URI: ``*``, ``?`` and ``[...]`` in one part, ``**`` across parts."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from pipeline.errors import ManifestError

if TYPE_CHECKING:
    from re import Pattern

_WILD: Final = re.compile(r"[*?\[]")
_TOKENS: Final = re.compile(r"\*\*/|\*\*|\*|\?|\[!?\]?[^\]]*\]|.", re.DOTALL)
_REGEX: Final = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def has_wildcards(path: str) -> bool:
    """Whether a path may stand for several."""
    return _WILD.search(path) is not None


def fixed_folder(path: str) -> str:
    """The folder that everything that matches lies under: the parts before the first wildcard.

    Without a slash at its end; empty if the very first part has a wildcard.
    """
    found = _WILD.search(path)
    fixed = path if found is None else path[: found.start()]
    return fixed.rpartition("/")[0]


def matches(pattern: str, path: str) -> bool:
    """Whether a path is one that the pattern stands for, whole.

    Raises:
        ManifestError: what stands in brackets is no set of characters.
    """
    return _compiled(pattern).fullmatch(path) is not None


@lru_cache(maxsize=64)
def _compiled(pattern: str) -> Pattern[str]:
    try:
        return re.compile("".join(_part(token) for token in _TOKENS.findall(pattern)), re.DOTALL)
    except re.error as error:
        raise ManifestError(f"pattern {pattern!r}: {error}") from error


def _part(token: str) -> str:
    if token in _REGEX:
        return _REGEX[token]
    if len(token) > 1:
        inside = token[1:-1].replace("\\", "\\\\").replace("[", "\\[")
        return f"(?!/)[{'^' + inside[1:] if inside.startswith('!') else inside}]"
    return re.escape(token)
