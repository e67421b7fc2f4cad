"""Rolling under the load of gRPC's own clients, which keep one connection for all they ask."""

from __future__ import annotations

import json
import os
import subprocess
import textwrap
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from tests.processes import until
from tests.serving.protocols.conftest import CLIENTS
from tests.serving.supervisor.conftest import Revisions, Running

ROUNDS = 100 if os.environ.get("MLWRIGHT_SOAK") == "1" else 10

LOAD = """
    import collections, json, sys, threading, grpc
    answered, failed, ends = collections.Counter(), [], threading.Event()

    def ask(channel):
        answer = channel.unary_unary("/toy/Answer")
        while not ends.wait(0.002):
            try:
                answered[answer(b"x", timeout=20).decode()] += 1
            except grpc.RpcError as error:
                failed.append(str(error))

    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.insecure_channel(sys.argv[1], options) for _ in range(4)]
    threads = [threading.Thread(target=ask, args=(channel,)) for channel in channels for _ in range(2)]
    for each in threads:
        each.start()
    for _ in sys.stdin:
        print(json.dumps([dict(answered), failed]), flush=True)
    ends.set()
    for each in threads:
        each.join()
    print(json.dumps([dict(answered), failed]), flush=True)
"""


@pytest.mark.soak
def test_rolling_loses_no_call(serve: Callable[..., Running], toy: Revisions) -> None:
    """Ten new revisions one after the other: each takes over, and every call is answered."""
    served = serve(2, toy(grpc=True))
    command = [str(CLIENTS), "-W", "ignore", "-c", textwrap.dedent(LOAD), urlsplit(served.url).netloc]
    load = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert load.stdin is not None
    assert load.stdout is not None

    def seen() -> tuple[dict[str, int], list[str]]:
        load.stdin.write("\n")
        load.stdin.flush()
        return json.loads(load.stdout.readline())

    with load:
        until(lambda: seen()[0].get("a", 0) > 20, every_s=0.02)
        for number in range(ROUNDS):
            name = f"v{number}"
            served.client.update(toy(name, grpc=True))
            until(lambda name=name: seen()[0].get(name, 0) > 20 or seen()[1], every_s=0.02)
        answered, failed = json.loads(load.communicate()[0])

    print(f"{ROUNDS} revisions: {sum(answered.values())} calls, {len(failed)} failed")
    assert failed == []
    assert set(answered) == {"a", *(f"v{number}" for number in range(ROUNDS))}
    until(lambda: len(served.client.status()["replicas"]) == 2)  # all others have drained
