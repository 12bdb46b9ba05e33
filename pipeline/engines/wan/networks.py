"""The networks of a checkpoint, each loaded when and where its memory profile has it."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from dataclasses import replace
from threading import RLock
from typing import TYPE_CHECKING, Any

import torch

from pipeline.engines.speed import SpeedOptions
from pipeline.engines.wan.acceleration import accelerate
from pipeline.engines.wan.block_stream import BlockStream
from pipeline.engines.wan.modules import load_text_encoder, load_transformer, load_vae
from pipeline.engines.wan.text import PromptEncoder, load_tokenizer
from pipeline.engines.wan.vision import ImageTower

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pipeline.engines.wan.checkpoint import Checkpoint
    from pipeline.engines.wan.memory_profile import MemoryProfile

HOST = torch.device("cpu")
FP8 = torch.float8_e4m3fn


class Slot:
    """Room for one network at a time; who uses it has it to themselves."""

    def __init__(self) -> None:
        """Nothing is there yet."""
        self._lock, self._name = RLock(), ""
        self._network: Any = None

    @contextmanager
    def lend(self, name: str, load: Callable[[], Any], *, stays: bool = True) -> Iterator[Any]:
        """A network: the one that is there, or loaded in the place of whichever is.

        Args:
            name: which.
            load: makes it.
            stays: whether it is kept when the block ends.
        """
        with self._lock:
            if self._name != name:
                self.clear()
                self._network, self._name = load(), name
            try:
                yield self._network
            finally:
                if not stays:
                    self.clear()

    def clear(self) -> None:
        """Free what is there."""
        if self._network is not None:
            self._name, self._network = "", None
            # Hooks and their modules hold each other.
            gc.collect()


class Networks:
    """A checkpoint's networks. The autoencoder is always there.

    Attributes:
        device: where they run.
        dtype: precision of the transformers and the text encoder.
        profile: how they are kept.
        vae: an ``AutoencoderKLWan``.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: torch.device,
        dtype: torch.dtype,
        profile: MemoryProfile,
        speed: SpeedOptions = SpeedOptions(),  # noqa: B008  # frozen
    ) -> None:
        """Load what stays.

        Raises:
            WeightsError: something is missing, damaged or does not fit.
            ConfigError: ``speed`` asks for what can't be had here.
        """
        self.device, self.dtype, self.profile = device, dtype, profile
        # What is compiled wants weights that stay where and what they are.
        comes_and_goes = profile.streams_blocks or profile.fp8_storage
        self._speed = replace(speed, compile=False) if comes_and_goes else speed
        self._checkpoint = checkpoint
        self._slots = _slots(profile)
        self.vae = load_vae(checkpoint.folder / "vae", device)
        if not profile.takes_turns:
            for is_first in (True, False) if checkpoint.has_two_experts else (True,):
                with self.transformer(is_first=is_first):
                    pass
        if not profile.frees_encoders:
            with self.prompt_encoder(), self.image_tower():
                pass

    @contextmanager
    def transformer(self, *, is_first: bool) -> Iterator[Any]:
        """The ``WanTransformer3DModel``: of two experts, the first or the second."""
        name = "transformer" if is_first else "transformer_2"
        with self._slots[name].lend(name, lambda: self._load_transformer(name)) as network:
            yield network

    @contextmanager
    def prompt_encoder(self) -> Iterator[PromptEncoder]:
        """Tokenizer and text encoder."""
        name, stays = "text_encoder", not self.profile.frees_encoders
        with self._slots[name].lend(name, self._load_prompt_encoder, stays=stays) as encoder:
            yield encoder

    @contextmanager
    def image_tower(self) -> Iterator[ImageTower | None]:
        """CLIP, where the checkpoint has one."""
        if not self._checkpoint.has_image_encoder:
            yield None
            return
        name, stays = "image_encoder", not self.profile.frees_encoders
        with self._slots[name].lend(name, self._load_image_tower, stays=stays) as tower:
            yield tower

    def _load_transformer(self, name: str) -> Any:
        profile, folder = self.profile, self._checkpoint.folder / name
        by_way = HOST if profile.streams_blocks or profile.fp8_storage else self.device
        network = load_transformer(folder, by_way, self.dtype)
        accelerate(network, self._speed, self.device, self.dtype)
        if profile.fp8_storage:
            store_as_fp8(network, self.dtype)
        if by_way is HOST:
            settle(network, network.blocks if profile.streams_blocks else (), self.device)
        return network

    def _load_prompt_encoder(self) -> PromptEncoder:
        folder, streams = self._checkpoint.folder, self.profile.streams_blocks
        by_way = HOST if streams else self.device
        network = load_text_encoder(folder / "text_encoder", by_way, self.dtype)
        if streams:
            settle(network, network.encoder.block, self.device)
        tokenizer = load_tokenizer(folder / "tokenizer", network.config.vocab_size)
        return PromptEncoder(tokenizer, network, self._checkpoint.max_sequence_length)

    def _load_image_tower(self) -> ImageTower:
        return ImageTower.load(self._checkpoint.folder, self.device)


def store_as_fp8(transformer: Any, dtype: torch.dtype) -> None:
    """Keep the weights of the blocks' linear layers as ``float8_e4m3fn``; compute in ``dtype``."""
    transformer.enable_layerwise_casting(storage_dtype=FP8, compute_dtype=dtype)


def settle(
    network: torch.nn.Module, blocks: Sequence[torch.nn.Module], device: torch.device
) -> BlockStream:
    """Take a network from the machine's memory to the device, but for ``blocks``, which stay."""
    stream = BlockStream(blocks, device)
    staying = {id(tensor) for block in blocks for tensor in _tensors(block)}
    moved: dict[int, torch.Tensor] = {}
    for tensor in _tensors(network):
        if id(tensor) not in staying:
            # Two names of one tensor stay that.
            identity = id(tensor) if tensor.is_meta else tensor.data_ptr()
            if identity not in moved:
                moved[identity] = tensor.data.to(device, copy=True)
            tensor.data = moved[identity]
    return stream


def _tensors(network: torch.nn.Module) -> list[torch.Tensor]:
    return [*network.parameters(), *network.buffers()]


def _slots(profile: MemoryProfile) -> dict[str, Slot]:
    """Who shares room with whom."""
    encoders = ("text_encoder", "image_encoder")
    experts = ("transformer", "transformer_2")
    if profile.takes_turns:
        return dict.fromkeys((*encoders, *experts), Slot())
    slots = {name: Slot() for name in (*encoders, *experts)}
    return slots | (dict.fromkeys(encoders, Slot()) if profile.frees_encoders else {})
