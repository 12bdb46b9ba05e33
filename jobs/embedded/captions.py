"""Several captions for every clip, tokenised ahead: a GPU would otherwise wait for words.

Shapes: N clips, V captions of a clip, B windows, S tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from jobs.embedded.text import tokenize
from pipeline.world import caption, sample_scene

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor
    from transformers import PreTrainedTokenizerFast

    from jobs.embedded.recipe import TextRecipe


class CaptionTable:
    """Token ids ``[N, V, S]`` of ``V`` captions of each of the first ``N`` scenes."""

    def __init__(
        self,
        recipe: TextRecipe,
        tokenizer: PreTrainedTokenizerFast,
        clips: int,
        device: torch.device,
    ) -> None:
        length, variants = recipe.max_sequence_length, recipe.captions_per_clip
        texts = []
        for scene in range(clips):
            shown, rng = sample_scene(scene), np.random.default_rng([scene, 3])
            texts += [caption(shown, rng) for _ in range(variants)]
        tokens = tokenize(tokenizer, texts, length).to(torch.int16)
        self._tokens_NVS = tokens.view(clips, variants, length).to(device)
        self._silence_S = tokenize(tokenizer, [""], length)[0].to(device)

    def draw(
        self, rng: np.random.Generator, clips: NDArray[np.int64], dropped: NDArray[np.bool_]
    ) -> Tensor:
        """One caption of each of ``clips``, ``[B, S]``; the empty one where it is ``dropped``."""
        device = self._tokens_NVS.device
        variants = rng.integers(self._tokens_NVS.shape[1], size=len(clips))
        chosen_BS = self._tokens_NVS[
            torch.from_numpy(clips).to(device), torch.from_numpy(variants).to(device)
        ].long()
        return torch.where(
            torch.from_numpy(dropped).to(device)[:, None], self._silence_S, chosen_BS
        )
