"""A video's fingerprint: the same pixels, the same name.

Counted are the resolved request, the engine's weights and the options that change numbers. Not
counted are the id (it stands beside the fingerprint in every key), what only steers the queue
(priority, deadline), the author's notes (metadata), where an image lies (its content counts) and
the numerics version, which is recorded but must not make a new release render an archive again.

A request field that is at its class's own default and an option that is ``None`` are left out:
so a later release can add one whose default means "as before" and every fingerprint stays.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, asdict, fields
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pipeline.request import VideoRequest

# 80 bits: among a billion videos the chance that any two agree is below one in a million.
DIGEST_BYTES: Final = 10
SCHEME: Final = 1
NOT_COUNTED: Final = frozenset({"id", "priority", "deadline", "metadata", "image_uri"})

OptionValue = str | int | float | bool | None


def fingerprint(
    request: VideoRequest, *, weights_digest: str, options: Mapping[str, OptionValue]
) -> str:
    """Twenty hex digits that name what ``request`` looks like.

    Args:
        request: what is rendered, with nothing left open.
        weights_digest: ``EngineSpec.weights_digest``.
        options: what else changes numbers, such as ``{"boundary.mode": "halo"}``.

    Raises:
        ValueError: a number is NaN or infinite.
        TypeError: a value has no canonical form.
    """
    return digest(
        {
            "scheme": SCHEME,
            "request": request_fields(request),
            "weights": weights_digest,
            "options": {name: value for name, value in options.items() if value is not None},
        }
    )


def request_fields(request: VideoRequest) -> dict[str, Any]:
    """The fields of a request that change pixels, but for those at their class's default."""
    values = asdict(request)
    return {
        field.name: values[field.name]
        for field in fields(request)
        if field.name not in NOT_COUNTED and not _at_default(field, values[field.name])
    }


def digest(value: object) -> str:
    """The hash of a value's canonical JSON."""
    return hashlib.blake2b(canonical_json(value).encode(), digest_size=DIGEST_BYTES).hexdigest()


def canonical_json(value: object) -> str:
    """One text per value: keys sorted, no spaces, and 5, 5.0 and -0.0 written the shortest way."""
    return json.dumps(
        _canonical(value),
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=True,
        allow_nan=False,
    )


def _canonical(value: object) -> object:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return _canonical_number(value)
    if isinstance(value, Mapping):
        return {_text_key(key): _canonical(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [_canonical(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no canonical form: expected plain JSON values")


def _canonical_number(value: float) -> int | float:
    if not math.isfinite(value):
        raise ValueError(f"{value} can't be part of a fingerprint: expected a finite number")
    return int(value) if value.is_integer() else value


def _text_key(key: object) -> str:
    if not isinstance(key, str):
        raise TypeError(f"key {key!r} has no canonical form: expected text")
    return key


def _at_default(field: Field[Any], value: object) -> bool:
    if field.default is not MISSING:
        return bool(field.default == value)
    return field.default_factory is not MISSING and bool(field.default_factory() == value)
