"""A price table: what hardware and storage cost. There is none built in: prices change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobs.layers import file_layer
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from jobs.estimate import Estimate

_KEYS = {"currency", "gpu_hour", "storage_gb_month"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Prices.

    Attributes:
        currency: printed behind the figures.
        gpu_hour: by hardware: of one GPU, or one CPU core, for an hour.
        storage_gb_month: of a gigabyte (10^9 bytes) for a month.
    """

    currency: str
    gpu_hour: dict[str, float]
    storage_gb_month: float


@dataclass(frozen=True, slots=True)
class Cost:
    """What an estimate costs; ``None`` where the estimate doesn't say."""

    gpu: float | None
    storage_month: float | None
    currency: str


def read_prices(path: Path) -> Prices:
    """A price table in YAML: ``currency``, ``gpu_hour`` (hardware: price), ``storage_gb_month``.

    Raises:
        ConfigError: it can't be read, or is no price table.
    """
    values = file_layer(path).values
    unknown = sorted(set(values) - _KEYS)
    if unknown:
        raise ConfigError(f"{path}: unknown {unknown[0]!r}; expected {', '.join(sorted(_KEYS))}")
    by_hardware = values.get("gpu_hour", {})
    if not isinstance(by_hardware, dict):
        raise ConfigError(f"{path}: gpu_hour = {by_hardware!r}: expected hardware: price")
    return Prices(
        currency=str(values.get("currency", "")),
        gpu_hour={
            str(name): _price(price, f"{path}: gpu_hour.{name}")
            for name, price in by_hardware.items()
        },
        storage_gb_month=_price(values.get("storage_gb_month", 0), f"{path}: storage_gb_month"),
    )


def cost_of(found: Estimate, prices: Prices) -> Cost:
    """What an estimate costs by a price table.

    Raises:
        ConfigError: the table has no price for the hardware.
    """
    storage = found.storage_bytes
    return Cost(
        gpu=None
        if found.gpu_hours is None or found.pace is None
        else found.gpu_hours * _gpu_hour(prices, found.pace.hardware),
        storage_month=None if storage is None else storage / 1e9 * prices.storage_gb_month,
        currency=prices.currency,
    )


def _gpu_hour(prices: Prices, hardware: str) -> float:
    for name, price in prices.gpu_hour.items():
        if name.casefold() == hardware.casefold():
            return price
    known = ", ".join(prices.gpu_hour) or "none"
    raise ConfigError(f"no price for hardware {hardware!r}; the table has {known}")


def _price(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
        raise ConfigError(f"{where} = {value!r}: expected a price, 0 or more")
    return float(value)
