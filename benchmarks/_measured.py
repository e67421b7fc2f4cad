"""The command, in a process that writes down at its end how many bytes of memory it held at most.

    python benchmarks/_measured.py FILE run chain

What its children held does not count. (`ru_maxrss` would not do: a process begins with that of its parent.)
"""

from __future__ import annotations

import sys
from pathlib import Path

from mlwright.cli import main


def peak_bytes() -> int:
    """Of this process. Source: proc(5), `VmHWM` of /proc/pid/status, in KiB."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


if __name__ == "__main__":
    target = Path(sys.argv.pop(1))
    try:
        main()
    finally:
        target.write_text(str(peak_bytes()))
