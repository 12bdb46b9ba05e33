"""The networks inside an engine, for tests that look at their weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.engines.wan.engine import WanEngine


def transformer_of(engine: WanEngine, *, is_first: bool = True) -> Any:
    """Of two experts, the first or the second."""
    with engine._networks.transformer(is_first=is_first) as network:
        return network


def text_encoder_of(engine: WanEngine) -> Any:
    """The ``UMT5EncoderModel``."""
    with engine._networks.prompt_encoder() as encoder:
        return encoder._text_encoder
