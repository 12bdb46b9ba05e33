"""Turns one value of a manifest row into what a VideoSpec wants, or says why it can't.

Values arrive as Python's own: None never does, text is ``str``, numbers are ``int``, ``float`` or
``Decimal``. Nothing is rounded, cut or guessed.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from storage.keys import MAX_ID_LENGTH, is_safe_id

# Text with these would break a file's tags or a terminal; tab and line ends are fine in a prompt.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
MAX_EXACT_FLOAT: Final = 2.0**53


class BadValueError(Exception):
    """A value is not what its column takes; the message says what was expected."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands for a value or a row that couldn't be decoded; ``reason`` says why."""

    reason: str
    text: str | None = None

    def __str__(self) -> str:
        return self.text or "(unreadable)"


def read_id(value: object) -> str:
    """An id: a safe key part. Whole numbers are written out, as databases number rows."""
    name = id_text(value)
    if name is None:
        raise BadValueError(f"expected text, got {type_name(value)}")
    if not is_safe_id(name):
        raise BadValueError(
            f"expected 1 to {MAX_ID_LENGTH} of A-Z a-z 0-9 . _ - with a letter or digit first"
        )
    return name


def id_text(value: object) -> str | None:
    """An id as text, whatever its form; ``None`` if it can't be one."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else None


def read_text(value: object, max_length: int, *, blank: bool = False) -> str:
    """Text of bounded length; ``blank`` allows it to be empty or only spaces."""
    if isinstance(value, Unreadable):
        raise BadValueError(value.reason)
    if not isinstance(value, str):
        raise BadValueError(f"expected text, got {type_name(value)}")
    if len(value) > max_length:
        raise BadValueError(f"{len(value)} characters long, expected at most {max_length}")
    if _SURROGATE.search(value):
        raise BadValueError("not valid UTF-8")
    if _CONTROL.search(value):
        raise BadValueError("holds a control character, expected printable text")
    if not blank and not value.strip():
        raise BadValueError("blank, expected text")
    return value


def read_whole(value: object, low: int, high: int) -> int:
    """A whole number in ``low..high``; a float will do if it is whole, as pandas writes them."""
    number = _number(value, "a whole number")
    if number != math.floor(number):
        raise BadValueError("expected a whole number")
    if isinstance(number, float) and abs(number) > MAX_EXACT_FLOAT:
        raise BadValueError("too large for a float to hold exactly, expected an integer column")
    if not low <= number <= high:
        raise BadValueError(f"expected {low} to {high}")
    return int(number)


def read_number(value: object, low: float, high: float, *, above: bool = False) -> float:
    """A finite number in ``low..high``; with ``above``, ``low`` itself is too small."""
    number = _number(value, "a number")
    if not low <= number <= high or (above and number == low):
        raise BadValueError(
            f"expected {'more than' if above else 'at least'} {low:g}, at most {high:g}"
        )
    return float(number)


def _number(value: object, expected: str) -> int | float | Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise BadValueError(f"expected {expected}, got {type_name(value)}")
    if isinstance(value, float | Decimal) and not math.isfinite(value):
        raise BadValueError(f"not finite, expected {expected} or nothing at all")
    return value


def read_time(value: object) -> str:
    """A moment as ISO 8601 in UTC; one without a zone is taken as UTC."""
    if not isinstance(value, str):
        raise BadValueError(f"expected a timestamp or ISO 8601 text, got {type_name(value)}")
    try:
        moment = datetime.fromisoformat(value)
        zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return zoned.astimezone(UTC).isoformat()
    except (ValueError, OverflowError) as error:
        raise BadValueError("expected ISO 8601, such as 2030-01-31T06:00:00Z") from error


def read_metadata(value: object) -> dict[str, str]:
    """At most 64 pairs of text; numbers and booleans are written as JSON writes them."""
    pairs = _pairs(value)
    if len(pairs) > 64:
        raise BadValueError(f"{len(pairs)} entries, expected at most 64")
    result: dict[str, str] = {}
    for key, item in pairs:
        name = read_text(key, 128)
        if name in result:
            raise BadValueError(f"key {name[:40]!r} stands there twice")
        if item is not None:
            result[name] = read_text(_scalar_text(item), 2000, blank=True)
    return result


def _pairs(value: object) -> list[tuple[object, object]]:
    """Key and value pairs of a map in any of the shapes in which tables carry one."""
    if isinstance(value, Unreadable):
        raise BadValueError(value.reason)
    if isinstance(value, Mapping):
        return list(value.items())
    if isinstance(value, list) and all(_is_pair(item) for item in value):
        return [
            (item["key"], item["value"]) if isinstance(item, Mapping) else (item[0], item[1])
            for item in value
        ]
    raise BadValueError(f"expected a map of text to text, got {type_name(value)}")


def _is_pair(item: object) -> bool:
    if isinstance(item, Mapping):
        return set(item) == {"key", "value"}
    return isinstance(item, tuple) and len(item) == 2


def _scalar_text(item: object) -> object:
    return json.dumps(item) if isinstance(item, bool | int | float) else item


def type_name(value: object) -> str:
    """A value's type in a manifest author's words."""
    if isinstance(value, Unreadable):
        return value.reason
    names = {bool: "true/false", str: "text", int: "a whole number", float: "a number"}
    if isinstance(value, Mapping):
        return "an object"
    return names.get(type(value), "a list" if isinstance(value, list) else type(value).__name__)
