"""What this machine lets a process use, which in a container is less than the machine has."""

from __future__ import annotations

import os
from pathlib import Path

# https://docs.kernel.org/admin-guide/cgroup-v2.html
_CGROUP = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """Cores that this process may use at the same time, at least 1."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    quota, period = (*_limits("cpu.max"), None, None)[:2]
    return max(1, min(cores, quota // period)) if quota and period else cores


def usable_memory_bytes() -> int:
    """Memory that this process and its children may have in all."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = next(iter(_limits("memory.max")), None)
    return min(machine, limit) if limit else machine


def _limits(name: str) -> list[int | None]:
    """The numbers in a file of the control group, None for "max"; empty where there is none."""
    try:
        words = (_CGROUP / name).read_text().split()
    except OSError:
        return []
    return [int(word) if word.isdigit() else None for word in words]
