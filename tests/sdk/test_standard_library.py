"""What runs inside a step's own environment needs nothing but Python."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import mlwright

HOUSE = Path(mlwright.__file__).parent
MODULES = sorted(
    ".".join(("mlwright", *path.relative_to(HOUSE).with_suffix("").parts)).removesuffix(".__init__")
    for path in (HOUSE / "sdk").rglob("*.py")
    if path.name != "graft.py"
)

IMPORT_ALL = textwrap.dedent("""
    import importlib, json, sys

    class Refuse:
        def find_spec(self, name, path=None, target=None):
            top = name.partition(".")[0]
            if top != "mlwright" and top not in sys.stdlib_module_names:
                raise ImportError(f"{name} is not of the standard library")

    sys.meta_path.insert(0, Refuse())
    sys.path = [entry for entry in sys.path if "-packages" not in entry] + [sys.argv[1]]
    before = set(sys.modules)
    for name in sys.argv[2:]:
        importlib.import_module(name)
    from mlwright import Dataset, log_metric, log_metrics, pipeline, step
    from mlwright.steps import gate, register
    print(json.dumps(sorted(set(sys.modules) - before)))
""")


def test_the_sdk_is_imported_without_any_package() -> None:
    """All of `sdk`, the public face and `steps` import where nothing is installed, with errors at most."""
    line = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        IMPORT_ALL,
        str(HOUSE.parent),
        "mlwright",
        "mlwright.steps",
        *MODULES,
    ]

    done = subprocess.run(line, capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stderr
    ours = {name for name in json.loads(done.stdout) if name.startswith("mlwright")}
    foreign = {name for name in ours if name.split(".")[1:2] not in ([], ["sdk"], ["steps"])}
    assert foreign <= {"mlwright.kernel", "mlwright.kernel.errors", "mlwright.kernel.version"}
    assert set(MODULES) <= ours


def test_the_worker_is_started_where_nothing_is_installed(tmp_path: Path) -> None:
    """The worker's script runs in an interpreter without site-packages, and ends with its socket."""
    code = textwrap.dedent("""
        import os, socket, subprocess, sys
        ours, theirs = socket.socketpair()
        line = [sys.executable, "-I", "-S", sys.argv[1] + "/sdk/graft.py", sys.argv[1], str(os.getpid())]
        line += ["mlwright.sdk.session", str(theirs.fileno()), "w1"]
        worker = subprocess.Popen(line, pass_fds=[theirs.fileno()])
        theirs.close()
        ours.close()
        sys.exit(worker.wait())
    """)

    done = subprocess.run(
        [sys.executable, "-c", code, str(HOUSE)], capture_output=True, text=True, timeout=60
    )

    assert (done.returncode, done.stderr) == (0, "")
