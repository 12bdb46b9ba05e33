"""What a benchmark ran on, for the line beside its figures."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

import torch


def setting(command: str) -> str:
    """The machine, the day and the command, as one line of Markdown."""
    today = datetime.now(UTC).date().isoformat()
    return f"`{command}`, {today}: {machine()}"


def machine() -> str:
    """Processor, cores that may be used, memory, and GPU."""
    cores = len(os.sched_getaffinity(0))
    return f"{_processor()}, {cores} cores, {_memory_bytes() / 2**30:.0f} GiB of memory, {_gpu()}"


def _gpu() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
