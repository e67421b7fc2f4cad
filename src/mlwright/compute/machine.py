"""What this machine gives to work with, and what of it may change how numbers come out."""

from __future__ import annotations

import functools
import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from mlwright.compute import cgroups

_FEATURE = re.compile(r"sse4_2|avx\w*|fma|amx_\w+|asimd\w*|sve\w*|sme\d*|bf16|i8mm")
"""Those instruction sets by which numerical libraries choose their code."""


class Machine(Struct, frozen=True):
    """What work on this machine can have.

    Args:
        cpus: processors this process may use, by affinity and by the quota of its control group.
        memory_bytes: the machine's, or less where a control group says so.
        gpus: what `CUDA_VISIBLE_DEVICES` may name.
        processor: its model.
        features: instruction sets that numerical libraries choose their code by, sorted.
    """

    cpus: int
    memory_bytes: int
    gpus: tuple[str, ...]
    processor: str
    features: str


@functools.cache
def this_machine() -> Machine:
    """What this machine has, looked at once."""
    processor, features = _processor(Path("/proc/cpuinfo"))
    return Machine(
        cpus=_cpus(cgroups.folders("cpu")),
        memory_bytes=_memory_bytes(cgroups.folders("memory")),
        gpus=_gpus(os.environ, Path("/proc/driver/nvidia/gpus")),
        processor=processor,
        features=features,
    )


def _cpus(groups: list[Path]) -> int:
    cpus = len(os.sched_getaffinity(0))
    for group in groups:
        quota, period = _quota(group)
        if quota is not None and period:
            cpus = min(cpus, quota // period)  # of 2.5 processors the third would be stopped half of the time
    return max(1, cpus)


def _quota(group: Path) -> tuple[int | None, int | None]:
    """Microseconds of processor time in each period of so many; none for no limit."""
    try:
        quota, period = (group / "cpu.max").read_text().split()
    except OSError:
        return cgroups.number(group / "cpu.cfs_quota_us"), cgroups.number(group / "cpu.cfs_period_us")
    return (None if quota == "max" else int(quota)), int(period)


def _memory_bytes(groups: list[Path]) -> int:
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for name in ("memory.max", "memory.limit_in_bytes"):
        found = (cgroups.number(group / name) for group in groups)
        limits += [limit for limit in found if limit is not None]
    return min(limits)


def _gpus(variables: Mapping[str, str], driver: Path) -> tuple[str, ...]:
    """Source: CUDA C++ programming guide, environment variables: what is behind a wrong entry is not seen."""
    visible = variables.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        try:
            return tuple(str(index) for index, _ in enumerate(driver.iterdir()))
        except OSError:
            return ()
    entries = [entry.strip() for entry in visible.split(",")]
    wrong = next((index for index, entry in enumerate(entries) if entry in {"", "-1"}), len(entries))
    return tuple(entries[:wrong])


def _processor(cpuinfo: Path) -> tuple[str, str]:
    """The model, and the instruction sets, of the first processor."""
    try:
        descriptor = os.open(cpuinfo, os.O_RDONLY)
    except OSError:
        return platform.machine(), ""
    try:
        # The kernel asks each processor as it is read: of a hundred, one is enough.
        text = os.read(descriptor, 8192).decode(errors="replace")
    finally:
        os.close(descriptor)
    fields: dict[str, str] = {}
    for line in text.partition("\n\n")[0].splitlines():
        name, _, value = line.partition(":")
        fields[name.strip()] = value.strip()
    flags = (fields.get("flags") or fields.get("Features") or "").split()
    arm = f"{platform.machine()} {fields.get('CPU implementer', '')} {fields.get('CPU part', '')}".strip()
    features = " ".join(sorted(flag for flag in flags if _FEATURE.fullmatch(flag)))
    return fields.get("model name") or arm, features
