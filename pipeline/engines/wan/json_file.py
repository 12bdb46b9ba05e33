"""One JSON file of a checkpoint, read with errors that name the file and the key."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class JsonFile:
    """The object in a JSON file. A key that is absent or null takes the reader's default."""

    path: Path
    values: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> JsonFile:
        """Read ``path``.

        Raises:
            WeightsError: it is not there, is not JSON, or holds something else than an object.
        """
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise WeightsError(f"{path}: no such file, expected a JSON object") from None
        except OSError as error:
            raise WeightsError(f"{path}: can't be read: {error}") from error
        except ValueError as error:
            raise WeightsError(f"{path}: not JSON: {error}") from error
        if not isinstance(values, dict):
            raise WeightsError(f"{path}: got {type(values).__name__}, expected a JSON object")
        return cls(path, values)

    def integer(self, key: str, default: int | None = None) -> int:
        """The positive whole number at ``key``."""
        value = self._get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self.wrong(key, "a whole number from 1 on")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """The number at ``key``, zero or more."""
        value = self._get(key, default)
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not value >= 0:
            raise self.wrong(key, "a number from 0 on")
        return float(value)

    def sequence(self, key: str, default: list[Any] | None = None) -> list[Any]:
        """The list at ``key``."""
        value = self._get(key, default)
        if not isinstance(value, list):
            raise self.wrong(key, "a list")
        return value

    def expect(self, key: str, choices: Collection[object]) -> None:
        """Check that the value at ``key`` is one of ``choices``.

        Raises:
            WeightsError: it is not.
        """
        if self.values.get(key) not in choices:
            raise self.wrong(key, " or ".join(repr(choice) for choice in choices))

    def expect_keys(self, known: Collection[str]) -> None:
        """Check that there is no key besides the ``known`` ones.

        Raises:
            WeightsError: there is.
        """
        unknown = sorted(set(self.values) - set(known))
        if unknown:
            raise WeightsError(f"{self.path}: got unknown {unknown}, expected only {sorted(known)}")

    def wrong(self, key: str, expected: str) -> WeightsError:
        """The error to raise when the value at ``key`` is not what was ``expected``."""
        return WeightsError(
            f"{self.path}: {key}: got {self.values.get(key)!r}, expected {expected}"
        )

    def _get(self, key: str, default: object) -> Any:
        value = self.values.get(key)
        return default if value is None else value
