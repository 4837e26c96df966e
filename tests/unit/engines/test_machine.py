import os
from pathlib import Path

import pytest

from wye.engines import machine

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("said", "cores"),
    [
        (None, CORES),
        ("max 100000", CORES),
        ("100000 100000", 1),
        ("50000 100000", 1),
        ("99900000 100000", CORES),
        ("", CORES),
        ("100000", CORES),
    ],
)
def test_a_containers_quota_makes_cores_fewer(cgroup: Path, said: str | None, cores: int) -> None:
    if said is not None:
        (cgroup / "cpu.max").write_text(said)
    assert machine.usable_cores() == cores


def test_where_the_system_cannot_tell_which_cores_are_ours_all_of_them_are(
    cgroup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert machine.usable_cores() == (os.cpu_count() or 1)


def test_a_containers_limit_makes_memory_less(cgroup: Path) -> None:
    whole = machine.usable_memory_bytes()
    assert whole > 2**28
    (cgroup / "memory.max").write_text("max\n")
    assert machine.usable_memory_bytes() == whole
    (cgroup / "memory.max").write_text("1000000\n")
    assert machine.usable_memory_bytes() == 1_000_000
