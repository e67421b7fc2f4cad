"""The work in Prefect: `prefect_work.py chain|fan N`, with PREFECT_HOME set.

Recorded: the flow run, and the states of task runs, in the SQLite database of the ephemeral server, which
Prefect starts for the process and ends with it, without waiting until it has written what it was sent: most
task runs of so short a flow are missing afterwards. Values are not kept. The chain's tasks run in Prefect's
own process, those of the fan-out in threads of it.
"""

from __future__ import annotations

import sys

from prefect import flow, task


@task
def one(x: int) -> int:
    return x + 1


@task
def total(xs: list[int]) -> int:
    return sum(xs)


@flow
def chain(count: int) -> int:
    x = 0
    for _ in range(count):
        x = one(x)
    return x


@flow
def fan(count: int) -> int:
    return total(one.map(list(range(count))))


def main(shape: str, count: int) -> None:
    if shape == "chain":
        assert chain(count) == count
    else:
        assert fan(count) == count * (count + 1) // 2


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
