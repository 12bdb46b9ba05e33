"""Prompts to ``prompt_embeds``, as diffusers' ``WanPipeline.encode_prompt`` makes them.

Shape suffixes: B = 1, S text tokens, D text width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from diffusers.pipelines.wan.pipeline_wan import prompt_clean
from transformers.models.auto.tokenization_auto import AutoTokenizer

from pipeline.errors import WeightsError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor


def load_tokenizer(folder: Path, vocab_size: int) -> Any:
    """The tokenizer in ``folder``, of whatever class its configuration names.

    Raises:
        WeightsError: it is damaged or incomplete, or has tokens beyond the ``vocab_size`` that the
            text encoder knows.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, LookupError, TypeError, ImportError) as error:
        raise WeightsError(f"{folder}: got no tokenizer that can be loaded: {error}") from error
    if len(tokenizer) > vocab_size:
        raise WeightsError(
            f"{folder}: got {len(tokenizer)} tokens, expected no more than the text encoder's "
            f"{vocab_size}"
        )
    if tokenizer.pad_token is None:
        raise WeightsError(f"{folder}: got no pad_token, expected one: prompts are padded")
    return tokenizer


class PromptEncoder:
    """A tokenizer and a UMT5 encoder."""

    def __init__(self, tokenizer: Any, text_encoder: Any, max_sequence_length: int) -> None:
        """Take loaded parts; prompts are cut or padded to ``max_sequence_length`` tokens."""
        self._tokenizer = tokenizer
        self._text_encoder = text_encoder
        self._max_sequence_length = max_sequence_length

    @torch.no_grad()
    def encode(self, prompt: str) -> Tensor:
        """One prompt to ``[S, D]``, fp32 on the CPU; zero from the prompt's end on."""
        tokens = self._tokenizer(
            [prompt_clean(prompt)],
            padding="max_length",
            max_length=self._max_sequence_length,
            truncation=True,
            add_special_tokens=True,
            return_attention_mask=True,
            return_tensors="pt",
        )
        device = self._text_encoder.device
        mask_BS = tokens.attention_mask.to(device)
        hidden_BSD = self._text_encoder(tokens.input_ids.to(device), mask_BS).last_hidden_state
        length = int(mask_BS.gt(0).sum())
        embeds_SD = torch.zeros(hidden_BSD.shape[1:], dtype=torch.float32)
        embeds_SD[:length] = hidden_BSD[0, :length].to("cpu", torch.float32)
        return embeds_SD
