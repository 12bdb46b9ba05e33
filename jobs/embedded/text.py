"""Stage ``text``: the tokenizer, and the text encoder's architecture.

The tokenizer is made from captions of the world in a second. The encoder starts at random and is
trained with the transformer.

Prompts are embedded as Wan embeds them: what lies beyond the prompt's end is zeros, and the
transformer attends to all positions alike. Training and sampling must agree on that.

Shapes: B prompts, S tokens, D text width.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import torch
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)
from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

from pipeline.world import caption, sample_scene

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from jobs.embedded.recipe import TextRecipe

PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
# Every character that people are likely to type has a token, so that no word is unknown as a whole.
ALPHABET = "\N{LOWER ONE EIGHTH BLOCK}abcdefghijklmnopqrstuvwxyz0123456789.,;:!?'\"-()&/"
LETTER_SCORE = -30.0


def _captions(count: int) -> Iterator[str]:
    for i in range(count):
        yield caption(sample_scene(i), np.random.default_rng([i, 2]))


def train_tokenizer(recipe: TextRecipe) -> PreTrainedTokenizerFast:
    """A lower-casing unigram tokenizer in T5's conventions, one token per word of the captions.

    Words that no caption uses are spelt in letters, which score so low that a word always wins.
    """
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()]
    )
    tokenizer.decoder = decoders.Metaspace()
    counts = Counter(
        piece
        for text in _captions(recipe.captions)
        for piece, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text)
    )
    total = sum(counts.values())
    pieces = [(piece, math.log(count / total)) for piece, count in sorted(counts.items())]
    letters = [(letter, LETTER_SCORE) for letter in ALPHABET if letter not in counts]
    specials = [(special, 0.0) for special in (PAD, END, UNKNOWN)]
    tokenizer.model = models.Unigram([*specials, *pieces, *letters], unk_id=2)
    tokenizer.add_special_tokens([PAD, END, UNKNOWN])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END}",
        pair=f"$A {END} $B {END}",
        special_tokens=[(END, tokenizer.token_to_id(END))],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        unk_token=UNKNOWN,
        model_max_length=recipe.max_sequence_length,
        clean_up_tokenization_spaces=False,
    )


def build_text_encoder(recipe: TextRecipe, vocab_size: int) -> UMT5EncoderModel:
    """A fresh UMT5 encoder for ``vocab_size`` tokens."""
    return UMT5EncoderModel(
        UMT5Config(
            vocab_size=vocab_size,
            d_model=recipe.d_model,
            d_kv=recipe.d_kv,
            d_ff=recipe.d_ff,
            num_layers=recipe.num_layers,
            num_heads=recipe.num_heads,
            relative_attention_num_buckets=16,
            relative_attention_max_distance=32,
            dropout_rate=0.0,
            pad_token_id=0,
            eos_token_id=1,
            is_encoder_decoder=False,
        )
    )


def tokenize(
    tokenizer: PreTrainedTokenizerFast, prompts: Sequence[str], max_sequence_length: int
) -> Tensor:
    """Token ids ``[B, S]`` of ``prompts``, padded to the full length."""
    tokens: Tensor = tokenizer(
        list(prompts),
        padding="max_length",
        max_length=max_sequence_length,
        truncation=True,
        return_tensors="pt",
    ).input_ids
    return tokens


def embed_tokens(encoder: UMT5EncoderModel, tokens_BS: Tensor) -> Tensor:
    """Embeddings ``[B, S, D]`` of token ids, zero beyond each prompt's end."""
    mask_BS = (tokens_BS != encoder.config.pad_token_id).long()
    states_BSD: Tensor = encoder(tokens_BS, mask_BS).last_hidden_state
    embeds_BSD: Tensor = states_BSD * mask_BS[:, :, None].to(torch.float32)
    return embeds_BSD
