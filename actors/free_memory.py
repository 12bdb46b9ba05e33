"""How much memory is free, on a GPU and on the machine."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import ray
import torch

from pipeline.engines.wan.memory_estimate import Room

_CGROUP = Path("/sys/fs/cgroup")
_MEMINFO = Path("/proc/meminfo")


def free_room(device: torch.device) -> Room:
    """What is free for the engine of this process, an actor or none.

    Actors that share a GPU or a machine start at the same time and find the same memory free, so
    each counts on its share. Where a CPU is the device, memory is not divided.
    """
    host_bytes = free_host_bytes()
    if device.type != "cuda":
        return Room(device_type=device.type, device_bytes=host_bytes)
    free_bytes, total_bytes = torch.cuda.mem_get_info(device)
    num_gpus, gpus_of_node = _gpus()
    return Room(
        device_type=device.type,
        device_bytes=min(free_bytes, int(min(1.0, num_gpus) * total_bytes)),
        host_bytes=int(host_bytes * min(1.0, num_gpus / gpus_of_node)),
    )


def _gpus() -> tuple[float, float]:
    """How many GPUs this process has been given, and how many its node has."""
    if not ray.is_initialized():
        return 1.0, 1.0
    context: Any = ray.get_runtime_context()
    list_nodes: Any = ray.nodes
    mine = float(context.get_assigned_resources().get("GPU", 1.0))
    here = [node for node in list_nodes() if node["NodeID"] == context.get_node_id()]
    of_node = float(here[0]["Resources"].get("GPU", 1.0)) if here else 1.0
    return mine, max(mine, of_node)


def free_host_bytes() -> int:
    """Of the machine, or of the container if that may take less; page cache counts as free."""
    found = [_available_bytes()]
    with suppress(OSError, ValueError):
        limit_bytes = int((_CGROUP / "memory.max").read_text())
        used_bytes = int((_CGROUP / "memory.current").read_text())
        found.append(limit_bytes - used_bytes + _cached_bytes())
    return max(0, min(found))


def _available_bytes() -> int:
    for line in _MEMINFO.read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"{_MEMINFO} has no MemAvailable: not Linux?")


def _cached_bytes() -> int:
    """Of files, which the kernel drops when memory is wanted."""
    for line in (_CGROUP / "memory.stat").read_text(encoding="ascii").splitlines():
        if line.startswith("inactive_file "):
            return int(line.split()[1])
    return 0
