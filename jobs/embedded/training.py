"""One training loop for every stage: budgeted, resumable, seeded.

A stage draws the batch of step k from (seed, k) alone, so a resumed run needs no random state and
goes on bit for bit as if it had never stopped. The learning rate follows the share of the budget
that is used up: a warm-up, then a plateau, then a descent to zero. Under a budget of steps that
share is exact; under a budget of minutes it follows the clock, and time spent paused counts, so
that a deadline holds.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import nn

from jobs.embedded.graphs import LossAndGradients

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

logger = logging.getLogger(__name__)

WARM_UP_STEPS = 50
LOG_EVERY_STEPS = 50
SAVE_EVERY_S = 60.0
SAMPLE_EVERY_S = 600.0
CLIP_NORM = 1.0
CLIMB = 0.03


class Stage(Protocol):
    """What the loop must know of a stage."""

    @property
    def name(self) -> str:
        """Name of the stage, and of its checkpoint file."""
        ...

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """What is trained."""
        ...

    def batch(self, step: int, fraction: float) -> tuple[Tensor, ...]:
        """What step ``step`` learns from, on the device; ``fraction`` of the budget is used."""
        ...

    def loss(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The loss of a batch, and figures to log; nothing in it may wait for the device."""
        ...

    def sample(self, folder: Path, step: int) -> None:
        """Write pictures of what the averaged weights can do into ``folder``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How long to train: ``steps`` or ``minutes``, whichever is given.

    Attributes:
        minutes, steps: all pieces together.
        pause_at_s: when this piece ends, by ``time.monotonic``; a later one goes on from there.
    """

    minutes: float | None = None
    steps: int | None = None
    pause_at_s: float = math.inf

    def fraction(self, step: int, elapsed_s: float) -> float:
        """The share that is used up; 1 and above means done."""
        by_steps = 0.0 if self.steps is None else step / self.steps
        by_clock = 0.0 if self.minutes is None else elapsed_s / (60.0 * self.minutes)
        return max(by_steps, by_clock)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Peak learning rate, decay of the averaged weights, and where the rate falls.

    At the share ``drop_at`` of the budget the rate drops to zero and climbs to ``drop_by`` of its
    peak over the next ``CLIMB``; from ``descent_from`` on it descends to zero.
    """

    learning_rate: float
    ema: float
    weight_decay: float = 0.01
    descent_from: float = 0.4
    drop_at: float = 1.0
    drop_by: float = 1.0

    def rate(self, step: int, fraction: float) -> float:
        """Learning rate at ``step`` with ``fraction`` of the budget used."""
        warm = min(1.0, (step + 1) / WARM_UP_STEPS)
        left = max(0.0, 1.0 - fraction) / (1.0 - self.descent_from)
        climbed = min(1.0, (fraction - self.drop_at) / CLIMB)
        drop = self.drop_by * climbed if fraction >= self.drop_at else 1.0
        return self.learning_rate * warm * drop * min(1.0, left)


class Trainer:
    """A stage with its optimiser, its averaged weights and its place in the budget."""

    def __init__(self, stage: Stage, schedule: Schedule, folder: Path) -> None:
        self.stage = stage
        self.schedule = schedule
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.step = 0
        self.elapsed_s = 0.0
        self._module = nn.ModuleDict(dict(stage.modules))
        self._parameters: list[Tensor] = [p for p in self._module.parameters() if p.requires_grad]
        self._average = [p.detach().clone() for p in self._parameters]
        self._learn = LossAndGradients(stage.loss, self._parameters)
        self._optimizer = torch.optim.AdamW(
            self._parameters,
            lr=schedule.learning_rate,
            betas=(0.9, 0.99),
            weight_decay=schedule.weight_decay,
            fused=self._parameters[0].is_cuda,
        )

    @property
    def path(self) -> Path:
        """Where the run's state is kept."""
        return self.folder / f"{self.stage.name}.pt"

    def run(self, budget: Budget) -> bool:
        """Train until ``budget`` is used up; the modules then hold the averaged weights.

        Returns:
            Whether it is; false if the budget's pause came first.
        """
        start = time.monotonic() - self.elapsed_s
        saved_s = sampled_s = self.elapsed_s
        while (fraction := budget.fraction(self.step, self.elapsed_s)) < 1.0:
            if time.monotonic() > budget.pause_at_s:
                break
            figures = self.advance(fraction)
            self.elapsed_s = time.monotonic() - start
            if self.step % LOG_EVERY_STEPS == 0 or self.step == 1:
                self._log(fraction, figures)
            if self.elapsed_s - saved_s > SAVE_EVERY_S:
                self.save()
                saved_s = self.elapsed_s
            if self.elapsed_s - sampled_s > SAMPLE_EVERY_S:
                self._sample()
                sampled_s = self.elapsed_s
        self.save()
        self.swap_average()
        return fraction >= 1.0

    def advance(self, fraction: float) -> Mapping[str, Tensor | float]:
        """One optimiser step; returns the figures of its batch, on the stage's device."""
        rate = self.schedule.rate(self.step, fraction)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        loss, figures = self._learn(self.stage.batch(self.step, fraction))
        norm = nn.utils.clip_grad_norm_(self._parameters, CLIP_NORM)
        self._optimizer.step()
        self.step += 1
        decay = min(self.schedule.ema, self.step / (self.step + 10.0))
        with torch.no_grad():
            torch._foreach_lerp_(self._average, self._parameters, 1.0 - decay)
        return {"loss": loss, "norm": norm, "lr": rate, **figures}

    def swap_average(self) -> None:
        """Exchange the trained weights and the averaged ones."""
        with torch.no_grad():
            for parameter, average in zip(self._parameters, self._average, strict=True):
                kept = parameter.detach().clone()
                parameter.copy_(average)
                average.copy_(kept)

    def save(self) -> None:
        """Write the state, so that a crash at any moment leaves the last whole one."""
        state = {
            "step": self.step,
            "elapsed_s": self.elapsed_s,
            "modules": self._module.state_dict(),
            "average": self._average,
            "optimizer": self._optimizer.state_dict(),
        }
        partial = self.path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.path)

    def restore(self) -> bool:
        """Take up the state in the folder; False if there is none."""
        if not self.path.exists():
            return False
        device = self._parameters[0].device
        state: dict[str, Any] = torch.load(self.path, weights_only=True, map_location=device)
        self._module.load_state_dict(state["modules"])
        self._optimizer.load_state_dict(state["optimizer"])
        with torch.no_grad():
            for average, stored in zip(self._average, state["average"], strict=True):
                average.copy_(stored)
        self.step, self.elapsed_s = state["step"], state["elapsed_s"]
        logger.info("%s: resumed at step %d", self.stage.name, self.step)
        return True

    def _sample(self) -> None:
        self.swap_average()
        self._module.eval()
        with torch.no_grad():
            self.stage.sample(self.folder, self.step)
        self._module.train()
        self.swap_average()

    def _log(self, fraction: float, figures: Mapping[str, Tensor | float]) -> None:
        text = " ".join(f"{name} {float(value):.5g}" for name, value in figures.items())
        logger.info(
            "%s: step %d, %.0f s, %.1f %%: %s",
            self.stage.name,
            self.step,
            self.elapsed_s,
            100.0 * fraction,
            text,
        )


def load_average(folder: Path, name: str, modules: Mapping[str, nn.Module]) -> None:
    """Put the averaged weights of stage ``name``'s checkpoint into ``modules``, ready for use.

    Raises:
        FileNotFoundError: the stage was not trained in ``folder``.
    """
    path = folder / f"{name}.pt"
    state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    module = nn.ModuleDict(dict(modules))
    module.load_state_dict(state["modules"])
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    with torch.no_grad():
        for parameter, average in zip(trained, state["average"], strict=True):
            parameter.copy_(average)
    module.eval()
