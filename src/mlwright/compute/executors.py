"""The executors there are, by name."""

from __future__ import annotations

from mlwright.compute.executor import Executor
from mlwright.compute.local import LocalExecutor
from mlwright.compute.machine import this_machine
from mlwright.kernel.errors import Invalid, nearest

LOCAL, INLINE = "local", "inline"


def open_executor(name: str, slots: int) -> Executor:
    """An executor for this machine.

    Args:
        name: `local` for worker processes, `inline` for this process.
        slots: how many processors tasks may take together.

    Raises:
        Invalid: there is none of that name.
    """
    if name == LOCAL:
        machine = this_machine()
        return LocalExecutor(slots, memory_bytes=machine.memory_bytes, gpus=machine.gpus)
    if name == INLINE:
        from mlwright.compute.inline import InlineExecutor  # with what a worker needs, for who debugs

        return InlineExecutor()
    raise _unknown(name)


def check_executor(name: str) -> None:
    """Refuse what names no executor; empty is the one that the settings name.

    Raises:
        Invalid: there is none of that name.
    """
    if name not in {"", LOCAL, INLINE}:
        raise _unknown(name)


def _unknown(name: str) -> Invalid:
    return Invalid(f"there is no executor `{name}`", hint=nearest(name, [LOCAL, INLINE]))
