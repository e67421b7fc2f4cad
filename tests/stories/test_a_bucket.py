"""A project whose objects are in a bucket: the same commands, and a disk that may be lost."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from mlwright.app import Project
from mlwright.kernel.clock import now_us
from mlwright.kernel.digest import digest_of
from tests.conftest import Maker, installed
from tests.processes import until
from tests.s3 import KEY, SECRET, Place
from tests.storage.conftest import two_days_old

PIPELINE = """
    from mlwright import Dataset, pipeline, step

    @step
    def load(table: Dataset) -> list:
        with table.open() as file:
            return [line.strip().decode() for line in file][1:]

    @step
    def large(rows: list) -> bytes:
        return "".join(rows).encode() * 20_000

    @step
    def count(rows: list, many: bytes) -> dict:
        return {"rows": len(rows), "bytes": len(many)}

    @pipeline
    def flow(data: Dataset = Dataset("patients@latest")):
        rows = load(data)
        count(rows, large(rows))
"""


def test_a_project_with_its_objects_in_a_bucket(s3: Place, make_project: Maker) -> None:
    """Data goes in, a pipeline runs, this disk loses its cache: everything is read again from the bucket."""
    root = make_project({"pipelines/flow.py": PIPELINE, "patients.csv": "id,age\n1,40\n2,50\n"})
    shutil.rmtree(root / ".mlwright")
    with (root / "pyproject.toml").open("a") as settings:
        settings.write(f'objects = "{s3.url}"\n')

    def do(*arguments: str) -> str:
        done = installed(*arguments, cwd=root)
        assert done.returncode == 0, done.stdout + done.stderr
        assert SECRET not in done.stdout + done.stderr
        assert KEY not in done.stdout + done.stderr
        return done.stdout

    do("datasets", "add", "patients.csv", "--name", "patients")
    do("run", "flow")
    first = json.loads(do("runs", "show", "latest", "--json"))
    assert not (root / ".mlwright" / "objects").exists()
    assert len(list(s3.bucket().keys("objects/"))) >= 4

    shutil.rmtree(root / ".mlwright" / "local")

    do("datasets", "verify", "patients@1")
    do("datasets", "checkout", "patients@1", "again.csv")
    assert (root / "again.csv").read_text() == "id,age\n1,40\n2,50\n"
    assert "reused" in do("run", "flow")
    assert "identical" in do("runs", "reproduce", "latest~1")
    do("workspace", "verify")
    assert str(s3.address) in do("workspace", "show")
    do("gc")
    do("workspace", "backup", str(root.parent / "backup"))
    do("datasets", "verify", "patients@1")
    for asked in (("datasets", "verify", "patients"), ("workspace", "verify")):
        told = installed(*asked, "--debug", cwd=root).stderr
        assert re.search(r"the bucket was asked \d+ times: 0.0 MiB to it", told), told
    secrets = [path for path in (root / ".mlwright").rglob("*") if path.is_file() and _holds_secret(path)]
    assert secrets == []
    assert first["run"]["state"] == "succeeded"


def keys(s3: Place) -> set[str]:
    """The objects that the bucket holds, by their digests."""
    return {seen.key.removeprefix("objects/").replace("/", "") for seen in s3.bucket().keys("objects/")}


def age(s3: Place) -> None:
    """Let two days pass over the bucket, also in the eyes of the server, which remembers for a moment."""
    for place in ("objects", "renewed"):
        for path in s3.file(place).rglob("*"):
            two_days_old(path)
    yesterday = now_us() - 86_400_000_000
    until(lambda: all(seen.modified_us < yesterday for seen in s3.bucket().keys("objects/")))


def test_collecting_takes_from_the_bucket_what_nothing_needs(s3: Place, make_project: Maker) -> None:
    """gc over a bucket: the bytes of a removed version go, and all else is whole, in the bucket alone too.

    --dry-run says it and removes nothing; what is young is spared; what is left of a pack moves.
    """
    needed, unneeded, shared = b"needed" * 50_000, b"unneeded" * 50_000, b"shared" * 20_000
    files = {"pipelines/flow.py": PIPELINE, "patients.csv": "id,age\n1,40\n2,50\n"}
    root = make_project({**files, ".gitignore": "stays\ngoes\n"})
    shutil.rmtree(root / ".mlwright")
    with (root / "pyproject.toml").open("a") as settings:
        settings.write(f'objects = "{s3.url}"\n')
    for folder, large in (("goes", unneeded), ("stays", needed)):
        (root / folder).mkdir()
        (root / folder / "large.bin").write_bytes(large)
        (root / folder / "shared.bin").write_bytes(shared)
        (root / folder / "shared.txt").write_text("in one pack with what goes")
        for number in range(20):
            (root / folder / f"{number}.txt").write_text(f"{folder} {number} " * 10)

    def do(*arguments: str) -> str:
        done = installed(*arguments, cwd=root)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    do("datasets", "add", "patients.csv", "--name", "patients")
    do("run", "flow")
    before = keys(s3)
    do("datasets", "add", "goes", "--name", "goes")
    with Project.open(root) as project:
        packs = project.rooms.objects.packs
        (pack,) = {place.pack for place in packs.places(digest_of(b"in one pack with what goes"))}
        tree = project.datasets.versions.resolve("goes").digest
    assert keys(s3) - before == {digest_of(unneeded), digest_of(shared), pack, tree}
    do("datasets", "add", "stays", "--name", "stays")
    do("datasets", "rm", "goes@1")
    shutil.rmtree(root / "goes")
    full = keys(s3)
    young = do("gc")
    spared = keys(s3)
    age(s3)

    planned = do("gc", "--dry-run")
    data = json.loads(do("gc", "--dry-run", "--json"))
    after_the_plan = keys(s3)
    done = json.loads(do("gc", "--json"))
    first = keys(s3)
    age(s3)
    do("gc")
    second = keys(s3)

    gone = {digest_of(unneeded), tree}
    assert "spared" in young
    assert full == spared == after_the_plan
    assert f"objects  {len(gone)}  " in planned
    assert "1 pack is more than half empty" in planned
    assert data["bytes"] == done["bytes"] > len(unneeded)
    for told in (data["plan"], done["collected"]):
        assert {held["digest"] for held in told["sweep"]["dead"]} == gone
    assert full - first == gone
    assert len(first - full) == 1  # what is needed of the pack
    assert first - second == {pack}
    for emptied in (False, True):  # with what this machine has, then with nothing but the bucket
        if emptied:
            shutil.rmtree(root / ".mlwright" / "local")
        do("workspace", "verify")
        again = root / f"again-{emptied}"
        do("datasets", "checkout", "stays@1", again.name)
        assert {path.name: path.read_bytes() for path in again.iterdir()} == {
            path.name: path.read_bytes() for path in (root / "stays").iterdir()
        }
        assert "reused" in do("run", "flow")


def _holds_secret(path: Path) -> bool:
    data = path.read_bytes()
    return SECRET.encode() in data or KEY.encode() in data
