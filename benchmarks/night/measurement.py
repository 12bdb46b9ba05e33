"""One night under one rule: how far its end is from the lower bound, and how long planning took."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.night.first_come import FirstCome
from benchmarks.night.settings import FIXED_GANGS, TROUBLE, fleet, really, videos
from pipeline.planning.bound import lower_bound_s
from pipeline.planning.planner import Planner
from pipeline.planning.simulator import exactly, simulate

if TYPE_CHECKING:
    from benchmarks.night.settings import Setting
    from pipeline.planning.scheduler import Scheduler
    from pipeline.planning.simulator import Night

PLANNER = "planner"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One night.

    Attributes:
        setting: which.
        bound_s: no schedule is done before.
        makespan_s: by rule.
        planned_s: processor seconds that planner and simulator took together.
        trouble: what failed under the planner.
    """

    setting: Setting
    bound_s: float
    makespan_s: dict[str, float]
    planned_s: float
    trouble: Night

    def ratio(self, rule: str) -> float:
        """Makespan over the lower bound."""
        return self.makespan_s[rule] / self.bound_s

    @property
    def best_fixed(self) -> float:
        """Of the rules with fixed gangs, the best ratio."""
        return min(self.ratio(rule) for rule in self.makespan_s if rule != PLANNER)


def rules() -> dict[str, Scheduler]:
    """A new scheduler of each kind, by name."""
    return {PLANNER: Planner(), **{fixed(gang): FirstCome(gang) for gang in FIXED_GANGS}}


def fixed(gang: int) -> str:
    """The name of first come, first served with such gangs."""
    return f"fixed gangs of {gang}"


def measure(setting: Setting) -> Measured:
    """Plan a night under every rule."""
    tasks, nodes = videos(setting.num_videos), fleet(setting.num_gpus)
    actual = really if setting.fails else exactly
    faults = TROUBLE if setting.fails else None
    nights: dict[str, Night] = {}
    took_s: dict[str, float] = {}
    for name, rule in rules().items():
        started_s = time.process_time()
        nights[name] = simulate(rule, nodes, tasks, faults=faults, actual=actual)
        took_s[name] = time.process_time() - started_s
        assert len(nights[name].ended_s) == len(tasks), f"{name}: a video is missing"
    return Measured(
        setting=setting,
        bound_s=lower_bound_s(
            (task.work for task in tasks), setting.num_gpus, (actual(task) for task in tasks)
        ),
        makespan_s={name: night.makespan_s for name, night in nights.items()},
        planned_s=took_s[PLANNER],
        trouble=nights[PLANNER],
    )
