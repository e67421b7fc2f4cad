"""Taking away built environments: which stay, which go, and what is told of their room."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

from mlwright.environments import Environment
from mlwright.kernel.digest import digest_of_file
from tests.conftest import COMMAND, mlwright, write
from tests.environments.conftest import Index, Small
from tests.environments.test_build import Make, builder, places
from tests.processes import alive, until

DAY_US = 86_400_000_000

PIPELINE = """
import time
from pathlib import Path
from mlwright import pipeline, step

@step
def wait(folder: str) -> str:
    Path(folder, "began").touch()
    while not Path(folder, "go").exists():
        time.sleep(0.01)
    import three
    return three.VERSION

@pipeline
def long(folder: str):
    wait(folder)
"""


def built(small: Small, index: Index, *dependencies: str) -> Environment:
    """The environment of other dependencies, after which the project depends on these."""
    small.depend(index, *dependencies)
    small.environments.lock()
    return small.environments.build(small.environments.current())


def place_of(environment: Environment) -> Path:
    """The folder of an environment."""
    return environment.python.parent.parent


def test_what_the_project_names_stays_and_the_rest_goes(make: Make, index: Index) -> None:
    """Its own environment, those of its groups and those of its files stay, however old they are."""
    small = make(lock=False)
    old = built(small, index, "two<2")
    small.depend(index, "one")
    text = (small.root / "pyproject.toml").read_text() + 'environments = { file = "more.txt" }\n'
    (small.root / "pyproject.toml").write_text(text + '[dependency-groups]\ngroup = ["nowhere"]\n')
    write(small.root, {"more.txt": "three"})
    small.environments.lock_all()
    kept = [small.environments.build(small.environments.current(name)) for name in ("", "group", "file")]

    planned = small.environments.unneeded(0)
    before = places(small)
    gone = small.environments.builds.prune(planned)

    assert [each.place for each in planned] == [each.place for each in gone] == [place_of(old)]
    assert len(before) == 4
    assert places(small) == {place_of(each).name for each in kept}


def test_what_was_used_of_late_stays(make: Make, index: Index) -> None:
    """How long ago is measured from its build, or from the last run that used it."""
    small = make(lock=False)
    old, used = built(small, index, "two"), built(small, index, "two<2")
    built(small, index, "one")
    long_ago = time.time() - 40 * 86_400
    for each in (old, used):
        os.utime(place_of(each) / "inventory.json", (long_ago, long_ago))
    with small.environments.holding():
        small.environments.build(used.lock)

    found = small.environments.unneeded(30 * DAY_US)

    assert [each.place for each in found] == [place_of(old)]
    assert abs(found[0].used_us - long_ago * 1e6) < DAY_US


def test_what_is_pruned_is_built_again_when_it_is_needed(make: Make, index: Index) -> None:
    """Environments are only built state: the lock stays."""
    small = make(lock=False)
    old = built(small, index, "two<2")
    built(small, index, "one")
    small.environments.builds.prune(small.environments.unneeded(0))

    again = small.environments.build(old.lock)

    assert again == old
    assert again.python.exists()


def test_what_a_run_uses_stays_while_it_runs(make: Make, index: Index) -> None:
    """A run holds its environment from the beginning to the end, also when the project has another by now."""
    small = make("three")
    write(small.root, {"pipelines/p.py": PIPELINE})
    run = subprocess.Popen([str(COMMAND), "run", "long", "-p", f"folder={small.root}"], cwd=small.root)
    until((small.root / "began").exists)
    before = places(small)
    small.depend(index, "one")
    small.environments.lock()

    held = small.environments.unneeded(0)
    (small.root / "go").touch()
    status = run.wait(60)
    after = small.environments.unneeded(0)

    assert (held, status) == ((), 0)
    assert {each.place.name for each in after} == before


def test_what_somebody_began_to_use_since_the_plan_stays(make: Make, index: Index) -> None:
    """A plan is carried out on what is still as it was."""
    small = make(lock=False)
    old, other = built(small, index, "two"), built(small, index, "two<2")
    built(small, index, "one")
    planned = small.environments.unneeded(0)

    with small.environments.holding():
        small.environments.build(old.lock)
        gone = small.environments.builds.prune(planned)

    assert {each.place for each in planned} == {place_of(old), place_of(other)}
    assert [each.place for each in gone] == [place_of(other)]
    assert old.python.exists()


def test_leftovers_of_killed_builds_go_and_builds_that_go_on_stay(make: Make, index: Index) -> None:
    """A build holds a lock as long as it, or an orphan of it, writes."""
    index.add("held", "1.0")
    small = make("held")
    index.hold("held-1.0-py3-none-any.whl")
    build = builder(small)
    until(lambda: "held-1.0-py3-none-any.whl" in index.asked)
    left = small.workspace.local / "environments" / ("0" * 32 + ".new")
    write(left, {"lib/x.py": "x"})

    found = small.environments.unneeded()
    gone = small.environments.builds.prune(found)
    index.release()
    build.communicate(timeout=60)

    assert [(each.place, each.why) for each in gone] == [(left, "left over")]
    assert build.returncode == 0
    assert not left.exists()


def test_a_damaged_one_is_left_over(make: Make, index: Index) -> None:
    """Who needs it makes it anew anyway."""
    small = make(lock=False)
    old = built(small, index, "two<2")
    (place_of(old) / "bin" / "python").unlink()
    small.environments.builds.verify(old.lock)

    (found,) = small.environments.unneeded()

    assert (found.place, found.why) == (place_of(old), "left over")


def test_links_to_uvs_cache_are_no_room_that_is_freed(make: Make, index: Index) -> None:
    """Freed is what nobody else has: a file that two pruned environments link to counts once."""
    index.add("large", "1.0", large="#" * 400_000)
    small = make(lock=False)
    first, second = built(small, index, "large"), built(small, index, "large", "two<2")
    built(small, index, "one")
    files = [next(place_of(each).rglob("large.py")) for each in (first, second)]
    linked = files[0].stat().st_nlink

    shared = small.environments.unneeded(0)
    cached = [path for path in _cache().rglob("large.py") if path.samefile(files[0])]
    for path in cached:
        path.unlink()
    alone = small.environments.unneeded(0)

    assert linked == 3 and files[0].samefile(files[1])
    assert sum(each.bytes for each in shared) < 400_000
    assert sum(each.shared_bytes for each in shared) > 400_000
    assert 400_000 < sum(each.bytes for each in alone) < 800_000


def _cache() -> Path:
    return Path(os.environ["UV_CACHE_DIR"])


def test_a_prune_that_is_killed_leaves_no_half_of_an_environment(make: Make, index: Index) -> None:
    """What goes is first put aside: it is whole, or not there; the next prune ends the work."""
    small = make(lock=False)
    old = built(small, index, "two<2")
    built(small, index, "one")
    code = (
        "import os, shutil, sys; from mlwright.cli import main\n"
        "shutil.rmtree = lambda path, **_: os.kill(os.getpid(), 9) if os.path.exists(path) else None\n"
        "sys.argv = ['mlwright', 'environments', 'prune', '--older-than', '0d']; main()"
    )
    killed = subprocess.Popen([str(COMMAND.with_name("python")), "-c", code], cwd=small.root)
    status = killed.wait(60)

    aside = place_of(old).with_suffix(".old")
    left = place_of(old).exists(), aside.exists()
    (gone,) = small.environments.builds.prune(small.environments.unneeded())

    assert status == -9 and not alive(killed.pid)
    assert left == (False, True)
    assert gone.place == aside and not aside.exists()


def test_the_door_prunes(make: Make, index: Index) -> None:
    """`environments prune` says what goes and how much is free; with --dry-run it leaves it."""
    small = make(lock=False)
    old = built(small, index, "two<2")
    built(small, index, "one")
    before = digest_of_file(place_of(old) / "inventory.json")

    def door(*arguments: str) -> subprocess.CompletedProcess[str]:
        return mlwright("environments", "prune", *arguments, cwd=small.root)

    young, planned = door(), door("--older-than", "0d", "--dry-run")
    stayed = digest_of_file(place_of(old) / "inventory.json")
    pruned, wrong = door("--older-than", "0d", "--json"), door("--older-than", "soon")

    assert young.stdout == "prune\n  none\nfreed 0 bytes\n"
    line = f"  remove  b3:{old.lock.digest[:12]}  unused, last used 20"
    assert planned.stdout.startswith(f"plan: prune\n{line}")
    assert "would free" in planned.stdout
    assert stayed == before
    told = json.loads(pruned.stdout)
    assert [each["place"] for each in told["pruned"]] == [str(place_of(old))]
    assert told["bytes"] > 0 and not place_of(old).exists()
    assert wrong.returncode == 2 and "'soon' is no age" in wrong.stderr
