"""Tensor names in two layouts: as a model was published, and as diffusers or transformers have it.

A table has a row for every module whose name differs, or that stands in both by the same name:
``(published, canonical)``. ``*`` is a whole number, the same on both sides. What follows the
module, such as ``.weight`` or ``.lora_A.weight``, is kept.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class NameTable:
    """A one-to-one translation of tensor names.

    Attributes:
        rows: modules as published, and their canonical names.
    """

    rows: tuple[tuple[str, str], ...]
    _to_canonical: tuple[tuple[re.Pattern[str], str], ...] = field(init=False, repr=False)
    _to_published: tuple[tuple[re.Pattern[str], str], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for side in zip(*self.rows, strict=True):
            assert len(set(side)) == len(side), "a row stands twice"
        forward = tuple((_pattern(old), _template(new)) for old, new in self.rows)
        backward = tuple((_pattern(new), _template(old)) for old, new in self.rows)
        object.__setattr__(self, "_to_canonical", forward)
        object.__setattr__(self, "_to_published", backward)

    def canonical(self, name: str) -> str | None:
        """The canonical name of a tensor or module as published; ``None``: in no row."""
        return _translated(name, self._to_canonical)

    def published(self, name: str) -> str | None:
        """The published name of a tensor or module; ``None``: in no row."""
        return _translated(name, self._to_published)

    def is_published(self, names: Iterable[str]) -> bool:
        """Whether any of the names is one that only the published layout has."""
        return any(self.canonical(name) not in {None, name} for name in names)


def _pattern(module: str) -> re.Pattern[str]:
    return re.compile(re.escape(module).replace(r"\*", r"(\d+)") + r"(?=\.|$)")


def _template(module: str) -> str:
    numbers = iter(range(1, 9))
    return re.sub(r"\*", lambda _: rf"\{next(numbers)}", module)


def _translated(name: str, rules: tuple[tuple[re.Pattern[str], str], ...]) -> str | None:
    for pattern, template in rules:
        found = pattern.match(name)
        if found:
            return found.expand(template) + name[found.end() :]
    return None
