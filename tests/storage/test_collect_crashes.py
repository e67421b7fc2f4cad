"""Collecting that is killed, and collecting while others store: what is named is whole all the time."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mlwright.kernel.digest import Digest
from mlwright.storage import load_tree
from mlwright.storage.trees import KIND as TREE
from tests.processes import run_python, start_python
from tests.storage.test_collect import MIB, Room, noise, small

SWEEP_AND_DIE = """
    import os, signal, sys
    from pathlib import Path
    from mlwright.kernel.sqlite import SqliteDatabase
    from tests.storage.test_collect import Room

    point, passed = int(sys.argv[2]), []
    room = Room(Path(sys.argv[1]))

    def deadly(owner, name):
        real = getattr(owner, name)
        def call(*arguments, **options):
            if len(passed) == point:
                os.kill(os.getpid(), signal.SIGKILL)
            passed.append(name)
            return real(*arguments, **options)
        setattr(owner, name, call)

    for name in ("unlink", "replace", "fsync", "utime", "mkdir", "fchmod"):
        deadly(os, name)
    deadly(SqliteDatabase, "transaction")
    room.sweep()
    print(*passed)
"""
TOP = str(Path(__file__).resolve().parents[2])


def test_a_kill_at_any_point_of_a_sweep_leaves_all_that_is_named_whole(tmp_path: Path) -> None:
    """`kill -9` before each change of disk or records: what is named is read, the next sweep ends it."""
    made = Room(tmp_path / "made")
    files = small("thin", 10)
    made.name(made.tree("both", files), TREE, by="gone")
    few = made.tree("few", dict(list(files.items())[:2]))
    first = noise(4 * MIB)
    made.large(first)
    second = first[: 2 * MIB] + b"inserted" + first[2 * MIB :]
    large = made.large(second)
    made.tree("garbage", small("garbage"))
    made.name(few, TREE)
    made.name(large)
    made.unname("gone")
    (made.store.incoming / "left").write_bytes(b"half")
    made.age()
    made.database.close()
    point, finished = 0, False

    while not finished:
        folder = tmp_path / str(point)
        shutil.copytree(tmp_path / "made", folder)
        done = run_python(SWEEP_AND_DIE, folder, point, PYTHONPATH=f"{TOP}/src:{TOP}")
        finished = done.returncode == 0
        assert finished or done.returncode == -signal.SIGKILL, done.stderr

        room = Room(folder)
        room.whole(few)
        assert room.objects.get(large) == second
        for _ in range(2):
            room.age()
            room.sweep()
        room.whole(few)
        assert room.objects.get(large) == second
        # The few and their tree, the first large file, the pack and the recipe of the second.
        assert len(room.held()) == 5
        assert room.rows("packed") == len(room.database.read("SELECT digest FROM packed"))
        assert list(room.store.incoming.iterdir()) == []
        room.database.close()
        shutil.rmtree(folder)
        point += 1

    assert {"unlink", "replace", "fsync", "utime", "transaction"} <= set(done.stdout.split())
    assert point > 8


ADD_AGAIN = """
    import sys
    from pathlib import Path
    from mlwright.storage.trees import KIND
    from tests.storage.test_collect import Room, small

    room = Room(Path(sys.argv[1]))
    print("ready", flush=True)
    for line in sys.stdin:
        room.name(room.tree("again", {**small("again", 20), "large": b"l" * 70_000}), KIND, by="again")
        print("done", flush=True)
        room.objects = type(room.objects)(room.objects.packs.seen_in(room.database), room.database)
"""


def test_what_is_stored_again_beside_a_sweep_is_never_lost(tmp_path: Path) -> None:
    """Old files that nobody names are added again by another process at the moment they are collected."""
    room = Room(tmp_path)
    tree = room.tree("again", {**small("again", 20), "large": b"l" * 70_000})
    other = start_python(ADD_AGAIN, tmp_path, PYTHONPATH=f"{TOP}/src:{TOP}")
    assert other.stdin is not None
    assert other.stdout is not None
    assert other.stdout.readline() == "ready\n"

    for _ in range(40):
        room.unname("again")
        room.age()
        other.stdin.write("add\n")
        other.stdin.flush()
        room.sweep()
        assert other.stdout.readline() == "done\n"

        room.whole(tree)
        room.sweep()
        room.whole(tree)
    other.communicate(timeout=60)
    room.database.close()


class Collecting(RuleBasedStateMachine):
    """Storing, naming, forgetting, ageing and collecting, in any order.

    The model knows what is named, and what was put or renewed since the last ageing: that stays.
    """

    def __init__(self) -> None:
        super().__init__()
        self.named: dict[str, Digest] = {}
        self.young: set[Digest] = set()
        self.known: dict[Digest, dict[str, bytes]] = {}

    @initialize()
    def begin(self) -> None:
        """An empty store."""
        import tempfile

        self.room = Room(Path(tempfile.mkdtemp(prefix="mlwright-collecting-")))

    def teardown(self) -> None:
        """Nothing is left on the disk."""
        self.room.database.close()
        shutil.rmtree(self.room.folder, ignore_errors=True)

    @rule(numbers=st.sets(st.integers(0, 11), min_size=1, max_size=6))
    def put(self, numbers: set[int]) -> None:
        """A folder of some of a dozen files, so that packs are shared."""
        files = {f"{number}.txt": b"%d" % number * 40 for number in numbers}
        shutil.rmtree(self.room.folder / "folder-one", ignore_errors=True)
        tree = self.room.tree("one", files)
        self.known[tree] = files
        self.young.add(tree)

    @precondition(lambda self: self.young)
    @rule(data=st.data())
    def name(self, data: st.DataObject) -> None:
        """What was put or renewed may be relied on."""
        tree = data.draw(st.sampled_from(sorted(self.young)))
        self.room.name(tree, TREE, by=tree)
        self.named[tree] = tree

    @precondition(lambda self: self.named)
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        """Nothing names it any more."""
        tree = data.draw(st.sampled_from(sorted(self.named)))
        self.room.unname(tree)
        del self.named[tree]

    @rule()
    def age(self) -> None:
        """Two days pass."""
        self.room.age()
        self.young.clear()

    @rule()
    def collect(self) -> None:
        """Nothing that must stay goes; what is old and named by nobody is gone."""
        self.room.sweep()
        if not self.young and not self.named:
            self.age()
            self.room.sweep()
            assert self.room.held() == set()

    @invariant()
    def all_is_whole(self) -> None:
        """What is named, or young, is read in full."""
        for tree in {*self.named.values(), *self.young}:
            self.room.whole(tree)
            entries = load_tree(self.room.objects, tree).entries
            assert {e.path: self.room.objects.packs.get(e.digest) for e in entries} == self.known[tree]


Collecting.TestCase.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)
TestCollecting = Collecting.TestCase
