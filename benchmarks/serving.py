"""Claim: a prediction costs little more than a constant; its server starts soon, and holds little memory.

    python benchmarks/serving.py                              everything
    python benchmarks/serving.py requests start memory        what is named
    python benchmarks/serving.py overload overload_computing  ten times more than it can do
    make bench-serving                                        others on the same models

Models: logistic regression and a random forest with 100 trees, 30 features, two classes; every server has the
same fitted bytes. One row per request, in JSON, on connections that are kept. Baselines: a constant on our
own server, whose body is read and parsed; the model alone in a loop; other servers, each in an environment of
its own, as its own documentation starts it (`_peers/NAME_serving.py`).

`requests`: wrk on one thread with 1, 16 and 64 clients that each wait for their answer, against one worker
and two; requests per second, and the time within which 99 of 100 are answered. Servers take turns of a
second (`MLWRIGHT_LOAD_S`), and those that have none are held still (SIGSTOP); medians of five turns, after
one that warms up. Before each turn a server must answer a row of each class as the model alone does; a figure
with any answer that is refused or missing is void (`nan`). `start`: from before the first process is started
until the first right answers. `memory`: PSS of all processes after 200 requests, of one start each.
`overload`: a model that takes 10 ms a row is asked ten times as often as it can answer, for 60 s
(`MLWRIGHT_OVERLOAD_S`); `overload_computing`: the same with one that holds Python's lock all the time.

The generator takes one of two processors, of the servers' own: what two workers gain is less than it would be
beside a generator of another machine. `MLWRIGHT_SERVERS=ours,constant,fastapi` measures only these;
`MLWRIGHT_MODELS`, `MLWRIGHT_WORKERS` and `MLWRIGHT_CLIENTS` likewise. Needs wrk.
"""

from __future__ import annotations

from _figures import say_figures
from _overload import overload, overload_computing
from _serving_footprint import memory, start
from _serving_requests import requests

if __name__ == "__main__":
    say_figures(requests, start, memory, overload, overload_computing)
