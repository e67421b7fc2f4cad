"""Claim: the command answers `--help` in under 100 ms and `import mlwright` takes under 60 ms.

Unit: milliseconds of a whole process, median of 10, warm, byte code cached. Baseline, interleaved in the
same run: the bare interpreter (`python -c pass`), and click with one command, which is the least a
command line of this kind can be. A process on a shared machine varies by a third: compare ratios.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROUNDS = 10
PYTHON = sys.executable
MLWRIGHT = str(Path(PYTHON).with_name("mlwright"))
BARE_CLICK = "import click; click.command()(lambda: None).main(['--help'], standalone_mode=False)"

CASES = {
    "python -c pass": [PYTHON, "-c", "pass"],
    "click --help": [PYTHON, "-c", BARE_CLICK],
    "mlwright --help": [MLWRIGHT, "--help"],
    "import mlwright": [PYTHON, "-c", "import mlwright"],
    "from mlwright import step, pipeline": [PYTHON, "-c", "from mlwright import step, pipeline"],
    "mlwright run --help": [MLWRIGHT, "run", "--help"],
}
BASELINES = {"mlwright --help": "click --help"}


def once(command: list[str]) -> float:
    """Milliseconds of one process."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    began = time.perf_counter()
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - began) * 1000


def main() -> None:
    for command in CASES.values():
        once(command)
    taken: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(ROUNDS):
        for name, command in CASES.items():
            taken[name].append(once(command))
    medians = {name: statistics.median(values) for name, values in taken.items()}
    print(f"{'figure':38}{'ours':>9}{'baseline':>10}{'ratio':>7}   (ms, median of {ROUNDS})")
    for name, value in medians.items():
        baseline = medians[BASELINES.get(name, "python -c pass")]
        print(f"{name:38}{value:9.1f}{baseline:10.1f}{value / baseline:7.2f}")


if __name__ == "__main__":
    main()
