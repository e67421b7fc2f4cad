"""What a machine is said to have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlwright.compute import cgroups, machine
from tests.conftest import write

GIB = 2**30


def test_this_machine_is_described() -> None:
    """Processors and memory there are; it is looked at once."""
    seen = machine.this_machine()

    assert 1 <= seen.cpus <= len(os.sched_getaffinity(0))
    assert 0 < seen.memory_bytes <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert seen.processor
    assert machine.this_machine() is seen


@pytest.mark.parametrize(
    ("files", "cpus", "memory_bytes"),
    [
        ({"inner/cpu.max": "150000 100000", "inner/memory.max": f"{GIB}"}, 1, GIB),
        ({"inner/cpu.max": "20000 100000", "inner/memory.max": "max", "memory.max": f"{2**20}"}, 1, 2**20),
        ({"inner/cpu.max": "max 100000", "cpu.max": "200000 100000"}, 2, None),
        ({"inner/cpu.cfs_quota_us": "200000", "inner/cpu.cfs_period_us": "100000"}, 2, None),
        ({"inner/cpu.cfs_quota_us": "-1", "inner/cpu.cfs_period_us": "100000"}, None, None),
        ({"inner/memory.limit_in_bytes": "9223372036854771712"}, None, None),
        ({"inner/memory.limit_in_bytes": f"{GIB}"}, None, GIB),
        ({}, None, None),
    ],
)
def test_what_control_groups_allow_is_what_there_is(
    tmp_path: Path, files: dict[str, str], cpus: int | None, memory_bytes: int | None
) -> None:
    """A quota or limit of the own group or of one above counts; no part of a processor does."""
    write(tmp_path, files)
    groups = [tmp_path / "inner", tmp_path]

    assert machine._cpus(groups) == min(cpus or 1000, len(os.sched_getaffinity(0)))
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert machine._memory_bytes(groups) == (memory_bytes or physical)


@pytest.mark.parametrize(
    ("own", "found"),
    [
        ("0::/a/b\n", ["a/b", "a", ""]),
        ("0::/host/path\n", [""]),
        ("5:cpu,cpuacct:/x\n4:memory:/a/b\n0::/\n", ["memory/a/b", "memory/a", "memory"]),
        ("4:memory:/host/path\n", ["memory"]),
        ("1:name=systemd:/x\n", []),
    ],
)
def test_the_groups_of_a_process_are_found(tmp_path: Path, own: str, found: list[str]) -> None:
    """Of either version, innermost first; a path of the host's is the container's root."""
    mount = tmp_path / "mount"
    for folder in ("a/b", "memory/a/b"):
        (mount / folder).mkdir(parents=True)
    (mount / "cgroup.controllers").touch()
    (tmp_path / "own").write_text(own)

    groups = cgroups.folders("memory", mount=mount, own=tmp_path / "own")

    assert groups == [mount / path for path in found]


def test_without_control_groups_nothing_limits(tmp_path: Path) -> None:
    """A system without them has no groups."""
    assert cgroups.folders("memory", mount=tmp_path, own=tmp_path / "none") == []


@pytest.mark.parametrize(
    ("visible", "gpus"),
    [
        (None, ("0", "1")),
        ("", ()),
        ("-1", ()),
        ("1", ("1",)),
        (" 0 , GPU-8c1f ", ("0", "GPU-8c1f")),
        ("0,-1,1", ("0",)),
    ],
)
def test_gpus_are_those_that_may_be_seen(tmp_path: Path, visible: str | None, gpus: tuple[str, ...]) -> None:
    """The caller's variable decides, as CUDA reads it; without it the driver's list does."""
    for bus in ("0000:18:00.0", "0000:5e:00.0"):
        (tmp_path / bus).mkdir()
    variables = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}

    assert machine._gpus(variables, tmp_path) == gpus


def test_without_a_driver_there_is_no_gpu(tmp_path: Path) -> None:
    """Its folder is not there."""
    assert machine._gpus({}, tmp_path / "none") == ()


@pytest.mark.parametrize(
    ("text", "processor", "features"),
    [
        (
            "model name\t: AMD EPYC\nflags\t\t: fpu smep sse4_2 avx2 avx avx512f fma fma4\n\n"
            "model name\t: other\nflags\t: amx_tile\n",
            "AMD EPYC",
            "avx avx2 avx512f fma sse4_2",
        ),
        (
            "Features\t: fp asimd sve2\nCPU implementer\t: 0x41\nCPU part\t: 0xd4f\n",
            "0x41 0xd4f",
            "asimd sve2",
        ),
    ],
)
def test_the_first_processor_tells_its_kind(tmp_path: Path, text: str, processor: str, features: str) -> None:
    """Its model, and the instruction sets numerical libraries ask for; on Arm its maker and part."""
    (tmp_path / "cpuinfo").write_text(text)

    named, sets = machine._processor(tmp_path / "cpuinfo")

    assert named.endswith(processor)
    assert sets == features
