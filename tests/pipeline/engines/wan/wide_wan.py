"""A tiny random checkpoint whose weights, windows and pictures are of about the same size."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import torch
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from transformers.models.umt5.configuration_umt5 import UMT5Config
from transformers.models.umt5.modeling_umt5 import UMT5EncoderModel

from tests.tiny_wan import make_tiny_wan

if TYPE_CHECKING:
    from pathlib import Path

TEXT_WIDTH = 128
# Wide enough for two tiles.
WIDTH_PX, HEIGHT_PX = 320, 64


def make_wide_wan(folder: Path, layout: str) -> Path:
    """Write it into ``folder``; the layouts are those of ``make_tiny_wan``."""
    make_tiny_wan(folder, layout=layout)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for expert in folder.glob("transformer*"):
            _transformer(expert).save_pretrained(expert)
        _text_encoder(folder / "text_encoder").save_pretrained(folder / "text_encoder")
    settings = json.loads((folder / "nightreel.json").read_text(encoding="utf-8"))
    settings |= {"width": WIDTH_PX, "height": HEIGHT_PX}
    (folder / "nightreel.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


def _transformer(folder: Path) -> WanTransformer3DModel:
    config = WanTransformer3DModel.load_config(folder)
    width = 128
    wider = {
        "num_attention_heads": 4,
        "attention_head_dim": width // 4,
        "ffn_dim": 4 * width,
        "text_dim": TEXT_WIDTH,
        "num_layers": 4,
        "added_kv_proj_dim": None if config["added_kv_proj_dim"] is None else width,
    }
    transformer: WanTransformer3DModel = WanTransformer3DModel.from_config({**config, **wider})
    return transformer


def _text_encoder(folder: Path) -> UMT5EncoderModel:
    vocab_size = UMT5Config.from_pretrained(folder).vocab_size
    config = UMT5Config(
        vocab_size=vocab_size,
        d_model=TEXT_WIDTH,
        d_kv=32,
        d_ff=4 * TEXT_WIDTH,
        num_layers=4,
        num_heads=4,
        dropout_rate=0.0,
    )
    return UMT5EncoderModel(config)
