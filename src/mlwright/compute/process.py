"""Starting Python in an environment, so that it runs the same wherever and by whomever it is started."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from mlwright.compute.tree import MARK
from mlwright.kernel.errors import Unavailable
from mlwright.sdk import graft

_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)

RECORDED = frozenset(
    {
        *_THREADS,
        *("PYTHONHASHSEED", "TZ", "LANG", "LANGUAGE"),
        *("LC_ALL", "LC_CTYPE", "LC_COLLATE", "LC_NUMERIC", "LC_TIME"),
        *("CUDA_VISIBLE_DEVICES", "CUBLAS_WORKSPACE_CONFIG", "NVIDIA_TF32_OVERRIDE", "XLA_FLAGS"),
        *("MKL_CBWR", "MKL_DYNAMIC", "MKL_ENABLE_INSTRUCTIONS"),
        *("OPENBLAS_CORETYPE", "NPY_DISABLE_CPU_FEATURES"),
        *("OMP_DYNAMIC", "OMP_SCHEDULE", "TF_DETERMINISTIC_OPS", "TF_ENABLE_ONEDNN_OPTS"),
    }
)
"""The environment variables that a run records: by these, and by no secret, a result may differ."""
_LONGEST = 200
SERVER = frozenset({"MLWRIGHT_URL", "MLWRIGHT_TOKEN"})
"""The environment variables that say which server is spoken to: no business of a run's."""


def recorded_variables(*, isolates: bool = True) -> dict[str, str]:
    """The environment variables that are recorded of a run that begins now, as its steps have them.

    Threads of BLAS and OpenMP are not among them where steps have processes of their own: each has as many as
    its `cpus`, which its attempt records.

    Args:
        isolates: steps run in worker processes, and not in this one.
    """
    given = _environment(1, "", None, None) if isolates else dict(os.environ)
    names = RECORDED - set(_THREADS) if isolates else RECORDED
    # A value need not be text.
    return {
        name: os.fsencode(given[name])[:_LONGEST].decode(errors="replace")
        for name in sorted(names)
        if name in given
    }


def start_python(
    python: Path,
    module: str,
    arguments: Sequence[str],
    *,
    cpus: int,
    words: IO[bytes],
    pass_fds: Sequence[int],
    token: str = "",
    gpus: Sequence[str] | None = None,
    memory_bytes: int | None = None,
    outlives: bool = False,
) -> subprocess.Popen[bytes]:
    """Run `main(arguments)` of one of our modules in another environment, in a session of its own.

    The process dies with the thread that calls this: call from one that lives as long as it shall; unless it
    `outlives` that.

    Args:
        python: the environment's interpreter; it need not hold this package.
        module: as `mlwright.sdk.session`.
        cpus: how many threads BLAS and OpenMP may use.
        words: where its standard output and error go.
        pass_fds: descriptors it inherits.
        token: marks it, and what it will start, for `end_tree`.
        gpus: which it may see, by the names CUDA knows them by; None for those that this process sees.
        memory_bytes: how much memory each process of it may have for itself (`mlwright.compute.limits`).
        outlives: it goes on when this process ends.

    Raises:
        Unavailable: the interpreter is missing, or no process can be started.
    """
    package, starter = str(Path(graft.__file__).parents[1]), "0" if outlives else str(os.getpid())
    try:
        return subprocess.Popen(
            [str(python), "-P", "-s", graft.__file__, package, starter, module, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=words,
            stderr=words,
            pass_fds=pass_fds,
            env=_environment(cpus, token, gpus, memory_bytes),
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        raise Unavailable(
            f"no process can be started with an environment's interpreter: {error.strerror}",
            where=str(python),
            hint="make the environment again: mlwright environments sync",
        ) from error


def cause_of_death(status: int, killer: str = "") -> str:
    """What an exit status says, in words.

    Args:
        status: negative for a signal.
        killer: who killed it, where that is known (`mlwright.compute.limits.killer`).
    """
    if status >= 0:
        return f"its process ended itself with status {status}"
    number = -status
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    reasons = {
        "SIGSEGV": "a crash in native code",
        "SIGKILL": f"killed: {killer or 'out of memory, or by hand'}",
    }
    return f"its process was ended by {name}" + (f" ({reasons[name]})" if name in reasons else "")


_NOT_THEIRS = {"VIRTUAL_ENV", graft.MEMORY, *SERVER}
"""What of ours a step's process does not get: code of users has no use for what opens a server."""


def _environment(
    cpus: int, token: str, gpus: Sequence[str] | None, memory_bytes: int | None
) -> dict[str, str]:
    """The caller's variables, less what would change how Python runs, plus what makes runs repeatable."""
    made = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("PYTHON") and key not in _NOT_THEIRS
    }
    made |= {"PYTHONHASHSEED": "0", **dict.fromkeys(_THREADS, str(cpus))}
    if token:
        # A worker within a worker ends with either.
        made[MARK] = f"{made[MARK]}:{token}" if made.get(MARK) else token
    if gpus is not None:
        made["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    if memory_bytes is not None:
        made[graft.MEMORY] = str(memory_bytes)
    return made
