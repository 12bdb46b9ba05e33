"""The tokenizer loses nothing of what captions say, and prompts are padded with zeros."""

import numpy as np
import pytest
import torch

from jobs.embedded.recipe import Recipe
from jobs.embedded.text import build_text_encoder, embed_tokens, tokenize, train_tokenizer
from pipeline.world import caption, sample_scene


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(Recipe().text)


def test_captions_survive_the_round_trip(tokenizer):
    for seed in range(10**6, 10**6 + 100):
        text = caption(sample_scene(seed), np.random.default_rng(seed)).lower()
        tokens = tokenizer(text).input_ids
        assert tokens[-1] == tokenizer.eos_token_id
        assert len(tokens) <= Recipe().text.max_sequence_length
        assert tokenizer.decode(tokens, skip_special_tokens=True) == text


def test_peoples_own_words_have_tokens(tokenizer):
    tokens = tokenizer("A GIANT Crème-coloured zebra, 3 o'clock?").input_ids
    assert tokenizer.unk_token_id not in tokens


def test_embeddings_are_zero_beyond_the_prompt(tokenizer):
    torch.manual_seed(0)
    encoder = build_text_encoder(Recipe().text, len(tokenizer)).eval()
    short, empty = embed_tokens(encoder, tokenize(tokenizer, ["a red ball", ""], 16))
    assert short.shape == (16, Recipe().text.d_model)
    end = len(tokenizer("a red ball").input_ids)
    assert end == 4
    assert bool((short[end:] == 0).all())
    assert bool((short[:end].abs().sum(dim=1) > 0).all())
    assert bool((empty[1:] == 0).all())
