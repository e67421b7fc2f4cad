"""Building environments: complete or not there, once, and only from what the lock says."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from mlwright.environments.locks import current_python, make_lock
from mlwright.kernel.errors import Corrupt, Incompatible, Invalid, Unavailable
from tests.conftest import mlwright
from tests.environments.conftest import Index, Small
from tests.processes import alive, until

Make = Callable[..., Small]

BUILD = """
import sys
from pathlib import Path
from mlwright.environments import Environments
from mlwright.kernel.settings import find_project
from mlwright.workspace import open_workspace

root = Path(sys.argv[1])
workspace = open_workspace(find_project(root))
environments = Environments(workspace.database, workspace.objects, root, workspace.local)
environment = environments.build(environments.current())
print(environment.python.parent.parent.stat().st_ino)
"""


def builder(small: Small) -> subprocess.Popen[str]:
    """A process that builds the project's environment."""
    return subprocess.Popen([sys.executable, "-c", BUILD, str(small.root)], stdout=subprocess.PIPE, text=True)


def places(small: Small) -> set[str]:
    """What stands where environments are kept, less the locks that builders and runs hold."""
    folder = small.workspace.local / "environments"
    return {path.name for path in folder.glob("*") if path.suffix not in {".building", ".used"}}


def waiters(small: Small) -> int:
    """How many processes wait to build. Source: proc_locks(5), a waiting one is marked `->`."""
    inodes = {path.stat().st_ino for path in (small.workspace.local / "environments").glob("*.building")}
    lines = Path("/proc/locks").read_text().splitlines()
    return sum("->" in line and int(line.split()[6].rpartition(":")[2]) in inodes for line in lines)


def test_an_environment_holds_what_is_locked(make: Make) -> None:
    """The environment's interpreter imports the locked packages at the locked versions."""
    small = make("one", "two<2")
    environment = small.environments.build(small.environments.current())

    told = subprocess.run(
        [str(environment.python), "-c", "import one, two; print(one.VERSION, two.VERSION)"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert told.stdout == "1.0 1.0\n"
    assert small.environments.built(environment.lock)


def test_it_is_built_once(make: Make, index: Index) -> None:
    """Building again answers the same environment without asking uv or the index."""
    small = make("one")
    first = small.environments.build(small.environments.current())
    inode, asked = first.python.parent.stat().st_ino, len(index.asked)

    second = small.environments.build(first.lock)

    assert second == first
    assert (first.python.parent.stat().st_ino, len(index.asked)) == (inode, asked)


def test_two_that_ask_at_once_make_one(make: Make, index: Index) -> None:
    """Of two processes that build the same lock one builds, and the other waits and takes that."""
    index.add("slow", "1.0")
    small = make("slow")
    index.hold("slow-1.0-py3-none-any.whl")
    builders = [builder(small) for _ in range(2)]
    until(lambda: waiters(small) == 1)

    index.release()
    told = [process.communicate(timeout=60)[0] for process in builders]

    assert [process.returncode for process in builders] == [0, 0]
    assert told[0] == told[1] != ""
    assert index.asked.count("slow-1.0-py3-none-any.whl") == 1
    assert len(places(small)) == 1


def test_a_killed_build_leaves_nothing_half_made(make: Make, index: Index) -> None:
    """After `kill -9` in the middle nothing is there, and the next build waits for the orphaned uv."""
    index.add("stuck", "1.0")
    small = make("stuck")
    lock = small.environments.current()
    index.hold("stuck-1.0-py3-none-any.whl")
    killed = builder(small)
    until(lambda: "stuck-1.0-py3-none-any.whl" in index.asked)

    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate(timeout=30)
    until(lambda: not alive(killed.pid))
    built = small.environments.built(lock), {name for name in places(small) if not name.endswith(".new")}
    held = _is_locked(small)
    index.release()
    environment = small.environments.build(lock)

    assert built == (False, set())
    assert held
    assert set(environment.inventory.pins) == {"stuck"}
    assert places(small) == {environment.python.parent.parent.name}


def _is_locked(small: Small) -> bool:
    (path,) = (small.workspace.local / "environments").glob("*.building")
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_a_half_made_environment_is_made_anew(make: Make) -> None:
    """What an interrupted build or a careless hand left in the place is replaced."""
    small = make("one")
    lock = small.environments.current()
    environment = small.environments.build(lock)
    place = environment.python.parent.parent
    (place / "inventory.json").unlink()
    environment.python.unlink()
    (place.with_suffix(".new") / "lib").mkdir(parents=True)

    again = small.environments.build(lock)

    assert again.inventory == environment.inventory
    assert again.python.exists()


def test_a_file_with_another_hash_is_refused(make: Make) -> None:
    """Bytes that are not those the lock names are not installed, and no environment is left."""
    small = make("one")
    text = small.workspace.objects.get(small.environments.current().pylock)
    tampered = re.sub(rb"[0-9a-f]{64}", b"0" * 64, text)
    lock = make_lock(tampered, small.workspace.objects.put(tampered).digest, current_python())

    with pytest.raises(Corrupt, match=r"the file of `.*` has another hash") as refusal:
        small.environments.build(lock)

    assert f"than was locked (sha256:{'0' * 12}...)" in refusal.value.message
    assert not small.environments.built(lock)


def test_a_file_without_a_hash_is_refused(make: Make) -> None:
    """A lock that names a file without its hash is not installed."""
    small = make("two")
    text = small.workspace.objects.get(small.environments.current().pylock)
    tampered = re.sub(rb'hashes = \{ sha256 = "[0-9a-f]{64}" \}', b"hashes = {}", text)
    lock = make_lock(tampered, small.workspace.objects.put(tampered).digest, current_python())

    with pytest.raises(Unavailable, match="cannot be installed"):
        small.environments.build(lock)

    assert tampered != text
    assert not small.environments.built(lock)


@pytest.mark.parametrize("other", [{"python": "3.99"}, {"platform": "linux-riscv64-musl"}])
def test_another_interpreter_or_platform_is_refused(other: dict[str, str], make: Make) -> None:
    """A lock for another Python or platform is refused, and both are named, before anything is installed."""
    small = make("one")
    lock = replace(small.environments.current(), **other)

    with pytest.raises(Incompatible, match=re.escape(next(iter(other.values())))) as refusal:
        small.environments.build(lock)

    assert small.environments.current().platform in refusal.value.message
    assert places(small) == set()


def test_a_package_that_is_gone_is_told_in_uvs_words(make: Make, index: Index) -> None:
    """What the index no longer has is said in uv's words; once it is back, the build works."""
    index.add("fleeting", "1.0")
    small = make("fleeting")
    lock = small.environments.current()
    wheel = index.files.pop("fleeting-1.0-py3-none-any.whl")

    with pytest.raises(Unavailable, match="cannot be installed") as refusal:
        small.environments.build(lock)
    index.files["fleeting-1.0-py3-none-any.whl"] = wheel
    environment = small.environments.build(lock)

    assert "fleeting" in refusal.value.message
    assert set(environment.inventory.pins) == {"fleeting"}


def test_more_packages_keep_those_there_are(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock with more in it keeps every version of the first, wherever the command is run."""
    small = make("two<2")
    lock = small.environments.current()
    monkeypatch.chdir(tmp_path)

    more = small.environments.resolve_with(lock, ["one"])

    environment = small.environments.build(more)
    pins = {name: pin.partition(" ")[0] for name, pin in environment.inventory.pins.items()}
    assert pins == {"one": "1.0", "two": "1.0"}
    assert small.environments.resolve_with(lock, ["one"]) == more


def test_packages_that_do_not_go_together_are_told(make: Make) -> None:
    """What contradicts the lock is refused, and both sides are named."""
    small = make("two")
    lock = small.environments.current()

    with pytest.raises(Invalid, match="do not go together") as refusal:
        small.environments.resolve_with(lock, ["three"])

    assert "two==2.0: this environment" in refusal.value.message
    assert "two<2: three, which this environment asks for" in refusal.value.message


def test_more_packages_are_requirements_only(make: Make) -> None:
    """What would be an option to uv is refused before an environment is built."""
    small = make("two")
    lock = small.environments.current()

    for line in ["--index-url http://127.0.0.1:9", "-e .", "one\n--pre", "-r /etc/passwd"]:
        with pytest.raises(Invalid, match="is not a requirement"):
            small.environments.resolve_with(lock, ["one", line])

    assert places(small) == set()


def test_the_doors_lock_build_and_show(make: Make) -> None:
    """`environments` locks, builds and shows; with --dry-run it says what it would do and does nothing."""
    small = make("one", lock=False)

    def told(*arguments: str) -> str:
        return mlwright("environments", *arguments, cwd=small.root).stdout

    planned, locked, again = told("lock", "--dry-run"), told("lock"), told("lock")
    waiting, empty = told("sync", "--dry-run"), places(small)
    synced, kept, shown = told("sync"), told("sync"), json.loads(told("show", "--json"))

    assert planned == (
        "plan: lock\n"
        "  add    one 1.0  asked for\n"
        "  add    two 2.0  needed by one\n"
        "  write  uv.lock  from the dependencies\n"
    )
    assert locked == planned.removeprefix("plan: ")
    assert again == "lock\n  keep  uv.lock  it fits pyproject.toml\n"
    assert "write" in waiting
    assert empty == set()
    assert waiting == f"plan: {synced}"
    assert "it is built" in kept
    assert shown["built"]
    assert {name: pin.partition(" ")[0] for name, pin in shown["packages"].items()} == {
        "one": "1.0",
        "two": "2.0",
    }
