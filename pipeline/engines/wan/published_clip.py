"""Wan 2.1's CLIP as it was published, read as transformers' ``CLIPVisionModel``.

``models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth`` holds a picture's tower (``visual``), a
text's (``textual``) and the scale between them; a video is told of its image by the first alone.
Query, key and value are one matrix there, and the embeddings have leading dimensions of 1.

Source: Wan-Video/Wan2.1 ``wan/modules/clip.py`` (``VisionTransformer``, ``SelfAttention``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipeline.engines.wan.name_table import NameTable
from pipeline.engines.wan.state_dict import StateDict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor

    from pipeline.engines.wan.tensor_files import StoredTensor

    Shape = tuple[int, ...]

TOWER: Final = "visual."
# What makes a vector of a whole picture, which Wan has no use for.
HEAD: Final = "visual.head"
_CLASS, _POSITIONS = "embeddings.class_embedding", "embeddings.position_embedding.weight"
_FUSED = ".to_qkv."
_PARTS = (".q_proj.", ".k_proj.", ".v_proj.")

_BLOCK, _LAYER = "visual.transformer.*", "encoder.layers.*"
CLIP = NameTable(
    (
        ("visual.patch_embedding", "embeddings.patch_embedding"),
        ("visual.cls_embedding", _CLASS),
        ("visual.pos_embedding", _POSITIONS),
        ("visual.pre_norm", "pre_layrnorm"),
        ("visual.post_norm", "post_layernorm"),
        (f"{_BLOCK}.norm1", f"{_LAYER}.layer_norm1"),
        (f"{_BLOCK}.attn.to_qkv", f"{_LAYER}.self_attn.to_qkv"),
        (f"{_BLOCK}.attn.proj", f"{_LAYER}.self_attn.out_proj"),
        (f"{_BLOCK}.norm2", f"{_LAYER}.layer_norm2"),
        (f"{_BLOCK}.mlp.0", f"{_LAYER}.mlp.fc1"),
        (f"{_BLOCK}.mlp.2", f"{_LAYER}.mlp.fc2"),
    )
)


def is_published(stored: Sequence[StoredTensor]) -> bool:
    """Whether these are the names of Wan's own file."""
    return any(tensor.name.startswith(TOWER) for tensor in stored)


def clip_tensors(
    stored: Sequence[StoredTensor], expected: Mapping[str, Shape]
) -> Iterator[tuple[str, Tensor]]:
    """The picture's tower, by the names and in the shapes of ``CLIPVisionModel``.

    Args:
        stored: what Wan's own file holds.
        expected: the model's own names and shapes.

    Raises:
        WeightsError: a tensor is missing, not known or of another shape; the error lists them.
    """
    tower = [
        tensor
        for tensor in stored
        if tensor.name.startswith(TOWER) and not tensor.name.startswith(HEAD)
    ]
    for name, tensor in StateDict.match(tower, _as_published(expected), CLIP).read():
        if _FUSED in name:
            for part, piece in zip(_PARTS, tensor.chunk(3), strict=True):
                yield name.replace(_FUSED, part), piece
        else:
            yield name, tensor.reshape(expected[name])


def _as_published(expected: Mapping[str, Shape]) -> dict[str, Shape]:
    """The model's tensors in the shapes that the file has them in."""
    shapes: dict[str, Shape] = {}
    for name, shape in expected.items():
        if _PARTS[0] in name:
            shapes[name.replace(_PARTS[0], _FUSED)] = (3 * shape[0], *shape[1:])
        elif name == _CLASS:
            shapes[name] = (1, 1, *shape)
        elif name == _POSITIONS:
            shapes[name] = (1, *shape)
        elif not any(part in name for part in _PARTS):
            shapes[name] = shape
    return shapes
