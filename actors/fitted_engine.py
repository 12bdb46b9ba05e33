"""An engine that is loaded with the memory profile there is room for, and says when there is not.

What was settled on when an actor started holds for videos of the usual size. A larger one may need
a thriftier profile; then the engine is loaded anew, and stays so.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from pipeline.engines.protocol import PairEngine
from pipeline.engines.registry import device_of, fit_engine, load_engine
from pipeline.errors import MemoryExceededError, NightreelError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from pipeline.engines.protocol import (
        Engine,
        EngineSpec,
        ImageEmbeds,
        NoiseLevel,
        StreamDecoder,
        WindowImage,
    )
    from pipeline.engines.registry import EngineOptions, EngineSource
    from pipeline.engines.wan.memory_estimate import Room
    from pipeline.plan import VideoPlan
    from pipeline.tiling import Tiling

# What torch says of memory that it did not get, on a CPU and of pinned memory.
_SAID = ("can't allocate memory", "out of memory")


class FittedEngine:
    """An ``Engine``; whatever it does for want of memory is a ``MemoryExceededError``.

    Attributes:
        computed_s: seconds in which one of its networks computed.
    """

    def __init__(
        self,
        asked: EngineOptions,
        size: tuple[int, int] | None,
        room: Callable[[torch.device], Room],
        tell: Callable[[str], None],
    ) -> None:
        """Load the engine; ``fitted`` brings its files first.

        Args:
            asked: what is to be loaded, from this machine.
            size: pixels (width, height) of most videos; ``None``: the engine's own.
            room: what is free; asked once.
            tell: is told of the profile, before anything is loaded.

        Raises:
            WeightsError: weights are missing or damaged.
            MemoryExceededError: there is too little memory.
        """
        self._asked, self._size, self._tell = asked, size, tell
        self._one_at_a_time, self.computed_s = threading.Lock(), 0.0
        self._waited_s: defaultdict[int, float] = defaultdict(float)
        self._has_profiles = self._asked.name != "gaussian"
        self._options = self._asked
        if self._has_profiles:
            self._room = room(device_of(self._asked))
            self._options, said = fit_engine(self._asked, self._room, self._size)
            tell(said)
        self._engine = self._load()
        self.computed_s = 0.0

    @property
    def profile(self) -> str:
        """Name of the memory profile; empty where the engine has none."""
        return self._options.profile if self._has_profiles else ""

    @property
    def waited_s(self) -> float:
        """Seconds for which the thread that asks has waited until another's network was done."""
        return self._waited_s[threading.get_ident()]

    @property
    def spec(self) -> EngineSpec:
        """See ``Engine``."""
        return self._engine.spec

    def prepare(self, plan: VideoPlan) -> None:
        """Make sure that there is room for this video.

        Raises:
            MemoryExceededError: there is none.
        """
        size = plan.request.width, plan.request.height
        usual = self._size or (self.spec.width, self.spec.height)
        if not self._has_profiles or size[0] * size[1] <= usual[0] * usual[1]:
            return
        self._size = size
        options, said = fit_engine(self._asked, self._room, size)
        if options != self._options:
            self._tell(said)
            self._options = options
            del self._engine
            self._engine = self._load()

    def encode_prompts(self, prompts: Sequence[str]) -> list[Tensor]:
        """See ``Engine``."""
        with self.within_memory():
            return self._engine.encode_prompts(prompts)

    def encode_image(self, pixels_HWC: NDArray[np.uint8]) -> ImageEmbeds:
        """See ``Engine``."""
        with self.within_memory():
            return self._engine.encode_image(pixels_HWC)

    def predict(
        self,
        latents_TCHW: Tensor,
        level: NoiseLevel,
        prompt_embeds_SD: Tensor,
        image: WindowImage | None = None,
    ) -> Tensor:
        """See ``Engine``."""
        with self.within_memory():
            return self._engine.predict(latents_TCHW, level, prompt_embeds_SD, image)

    def stream_decoder(self, tiling: Tiling | None = None) -> StreamDecoder:
        """See ``Engine``."""
        with self.within_memory():
            return _FittedDecoder(self._engine.stream_decoder(tiling), self)

    def _load(self) -> Engine:
        with self.within_memory():
            return load_engine(self._options)

    @property
    def engine(self) -> Engine:
        """The engine as it is loaded now."""
        return self._engine

    @contextmanager
    def within_memory(self) -> Iterator[None]:
        """Let one network compute at a time, and call a want of memory by its name.

        A video may be decoded while another is sampled, in two threads: they take turns, window by
        window and frame by frame, so that there is room for what the larger of the two needs.
        """
        asked_s = time.perf_counter()
        try:
            with self._one_at_a_time:
                started_s = time.perf_counter()
                self._waited_s[threading.get_ident()] += started_s - asked_s
                try:
                    yield
                finally:
                    self.computed_s += time.perf_counter() - started_s
        except NightreelError:
            raise
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise MemoryExceededError(
                f"profile {self.profile or 'none'}: {reason}", self.profile
            ) from error


class FittedPairEngine(FittedEngine):
    """Implements ``PairEngine`` for an engine that does."""

    def predict_pair(
        self,
        latents_TCHW: Tensor,
        level: NoiseLevel,
        prompt_embeds_pair: tuple[Tensor, Tensor],
        image: WindowImage | None = None,
    ) -> tuple[Tensor, Tensor]:
        """See ``PairEngine``."""
        engine = self.engine
        assert isinstance(engine, PairEngine)
        with self.within_memory():
            return engine.predict_pair(latents_TCHW, level, prompt_embeds_pair, image)


def fitted(
    source: EngineSource, room: Callable[[torch.device], Room], tell: Callable[[str], None]
) -> FittedEngine:
    """Bring an engine's files here and load it, in pairs if that is asked for.

    Args:
        source: where they are.
        room: what is free; asked once.
        tell: is told of the profile, before anything is loaded.

    Raises:
        WeightsError: weights are missing or damaged.
        ConfigError: ``engine.speed`` asks for what can't be had here.
        MemoryExceededError: there is too little memory.
    """
    asked = source.local()
    in_pairs = asked.name != "gaussian" and asked.speed.batch_guidance
    return (FittedPairEngine if in_pairs else FittedEngine)(asked, source.size, room, tell)


class _FittedDecoder:
    """A ``StreamDecoder`` of a fitted engine."""

    def __init__(self, decoder: StreamDecoder, engine: FittedEngine) -> None:
        self._decoder, self._engine = decoder, engine

    def push(self, latents_TCHW: Tensor) -> Iterator[NDArray[np.uint8]]:
        """See ``StreamDecoder``."""
        return self._within_memory(self._decoder.push(latents_TCHW))

    def _within_memory(self, decoded: Iterator[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
        while True:
            with self._engine.within_memory():
                frames_FHWC = next(decoded, None)
            if frames_FHWC is None:
                return
            yield frames_FHWC


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this is torch's or Python's way to say that there was no memory."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(said in str(error) for said in _SAID)
