"""Which of a run's processes is which, by what it does."""

from __future__ import annotations

from functools import reduce
from pathlib import PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.command import Run
    from benchmarks.processes import Memory, Process

DRIVER = "driver"
CARRIER = "actor that decodes too"
ACTOR = "other actor"
FFMPEG = "ffmpeg"


OURS = (DRIVER, CARRIER, ACTOR, FFMPEG)


def by_role(run: Run) -> dict[str, list[Process]]:
    """The processes in each role: ours first, Ray's own after them."""
    carriers = {p.parent for p in run.processes if _is_ffmpeg(p)}
    found: dict[str, list[Process]] = {}
    for process in run.processes:
        found.setdefault(_role(process, run.driver, carriers), []).append(process)
    ours = [role for role in OURS if role in found]
    return {role: found[role] for role in [*ours, *sorted(found.keys() - set(ours))]}


def memory_by_role(run: Run) -> dict[str, Memory]:
    """The highest memory of any process in each role."""
    return {
        role: reduce(lambda known, memory: known.at_most(memory), [p.memory for p in processes])
        for role, processes in by_role(run).items()
    }


def processor_s(run: Run) -> float:
    """Seconds of processor time of the driver, the actors and ffmpeg, from their start on."""
    found = by_role(run)
    return sum(process.cpu_s for role in OURS for process in found.get(role, ()))


def _role(process: Process, driver: int, carriers: set[int]) -> str:
    if process.pid == driver:
        return DRIVER
    if _is_ffmpeg(process):
        return FFMPEG
    if any(title.startswith("ray::SegmentActor") for title in process.titles):
        return CARRIER if process.pid in carriers else ACTOR
    return f"Ray: {_service(process.titles)}"


def _is_ffmpeg(process: Process) -> bool:
    return any(_program(title).startswith("ffmpeg") for title in process.titles)


def _service(titles: set[str]) -> str:
    """What a process of Ray's calls itself (``ray::NAME``), else its program or script."""
    named = sorted(title for title in titles if title.startswith("ray::"))
    if named:
        return named[0].removeprefix("ray::").partition(" ")[0]
    words = min(titles).split()
    scripts = [word for word in words if word.endswith(".py")]
    if scripts and _program(words[0]).startswith("python"):
        return PurePath(scripts[0]).stem
    return _program(words[0])


def _program(title: str) -> str:
    return PurePath(title.partition(" ")[0]).name
