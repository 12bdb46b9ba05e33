"""Which Arrow types a manifest column may have; a whole column of the wrong type is one error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pyarrow import types

from pipeline.errors import ManifestError
from storage.columns import COLUMNS, Kind

if TYPE_CHECKING:
    from collections.abc import Callable


EXPECTED: Final[dict[Kind, str]] = {
    "id": "string (or an integer type)",
    "text": "string",
    "whole number": "an integer type",
    "number": "a floating point or integer type",
    "time": "timestamp, date or string",
    "events": "list<struct<start_s: double, prompt: string>> (or a JSON string)",
    "metadata": "map<string, string> (or a struct or a JSON string)",
}


def check_type(name: str, found: Any, where: str) -> None:
    """Refuse a column whose type can hold no value of its kind.

    Args:
        name: one of ``COLUMNS``.
        found: its Arrow type in the file.
        where: the file.

    Raises:
        ManifestError: naming column, type found and types expected.
    """
    kind = COLUMNS[name]
    plain = found.value_type if types.is_dictionary(found) else found
    if not types.is_null(plain) and not _ALLOWED[kind](plain):
        raise ManifestError(f"{where}: column {name!r} is {found}: expected {EXPECTED[kind]}")


def _is_text(found: Any) -> bool:
    return types.is_string(found) or types.is_large_string(found) or types.is_string_view(found)


def _is_id(found: Any) -> bool:
    return _is_text(found) or types.is_integer(found)


def _is_number(found: Any) -> bool:
    return types.is_integer(found) or types.is_floating(found) or types.is_decimal(found)


def _is_time(found: Any) -> bool:
    return types.is_timestamp(found) or types.is_date(found) or _is_text(found)


def _is_list(found: Any) -> bool:
    return types.is_list(found) or types.is_large_list(found) or types.is_list_view(found)


def _is_events(found: Any) -> bool:
    if _is_text(found):
        return True
    if not _is_list(found):
        return False
    item = found.value_type
    return types.is_null(item) or (types.is_struct(item) and _fields(item) == {"start_s", "prompt"})


def _is_metadata(found: Any) -> bool:
    if _is_text(found) or types.is_map(found) or types.is_struct(found):
        return True
    return (
        _is_list(found)
        and types.is_struct(found.value_type)
        and (_fields(found.value_type) == {"key", "value"})
    )


def _fields(found: Any) -> set[str]:
    return {found.field(place).name for place in range(found.num_fields)}


_ALLOWED: Final[dict[Kind, Callable[[Any], bool]]] = {
    "id": _is_id,
    "text": _is_text,
    "whole number": _is_number,
    "number": _is_number,
    "time": _is_time,
    "events": _is_events,
    "metadata": _is_metadata,
}
