"""Push and pull: versions with their bytes and records, to a bucket and to a folder, and back."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlwright.app import Project
from mlwright.kernel.errors import Conflict, Corrupt, Invalid, NotFound, Unavailable
from mlwright.storage.remotes import Remote, open_remote
from mlwright.versioning.remotes import remote_named
from tests.conftest import PYPROJECT, mlwright, write
from tests.s3 import SECRET, Place
from tests.storage.faulty import FaultyProxy

MANY = 300


@pytest.fixture(params=["bucket", "folder"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A remote: each test is made with both."""
    if request.param == "folder":
        return str(tmp_path / "remote")
    place: Place = request.getfixturevalue("s3")
    return place.url


def project(folder: Path, remote: str) -> Path:
    """A project with one remote."""
    text = f'{PYPROJECT}remotes = {{ origin = "{remote}" }}\n'
    return write(folder, {"pyproject.toml": text})


@pytest.fixture
def ours(tmp_path: Path, address: str) -> Iterator[Project]:
    """A project with data in it: small files, one of usual size, one that is kept in pieces."""
    root = project(tmp_path / "ours", address)
    data = root / "data"
    data.mkdir()
    for number in range(MANY):
        (data / f"{number}.txt").write_text(f"small {number}\n" * 10)
    (data / "usual.bin").write_bytes(os.urandom(200_000))
    with Project.open(root) as opened:
        opened.datasets.add(data, "mixed", message="first")
        yield opened


@pytest.fixture
def theirs(tmp_path: Path, address: str) -> Iterator[Project]:
    """Another project, with nothing in it."""
    with Project.open(project(tmp_path / "theirs", address)) as opened:
        yield opened


def remote_of(opened: Project, address: str) -> Remote:
    """The remote, to look at or to damage."""
    return open_remote(address, opened.root, opened.root / "look")


def test_what_was_pushed_is_pulled(ours: Project, theirs: Project, tmp_path: Path) -> None:
    """With its number, digest, message and files, and as data that is not ours."""
    version = ours.datasets.versions.resolve("mixed@1")

    ours.exchange().push("mixed@1")
    theirs.exchange().pull("mixed@1")

    pulled = theirs.datasets.versions.resolve("mixed@1")
    assert (pulled.digest, pulled.message, pulled.size_bytes) == (
        version.digest,
        "first",
        version.size_bytes,
    )
    assert pulled.about["files"] == MANY + 1
    theirs.datasets.checkout("mixed@1", tmp_path / "out")
    for path in (ours.root / "data").iterdir():
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()
    theirs.datasets.verify(pulled)
    assert theirs.verify().faults == ()


def test_a_second_push_and_pull_move_nothing(ours: Project, theirs: Project) -> None:
    """What is there already is left alone."""
    first = ours.exchange().push("mixed")
    again = ours.exchange().push("mixed")
    theirs.exchange().pull("mixed")
    pulled_again = theirs.exchange().pull("mixed")

    assert len(first.missing) == 3
    assert (again.missing, again.known) == ((), True)
    assert (pulled_again.missing, pulled_again.known) == ((), True)
    assert len(theirs.datasets.versions.named("mixed")) == 1


def test_a_new_version_sends_only_what_is_new(ours: Project, theirs: Project) -> None:
    """A pull without a number fetches the newest."""
    ours.exchange().push("mixed")
    (ours.root / "data" / "7.txt").write_text("changed")
    ours.datasets.add(ours.root / "data", "mixed")

    sent = ours.exchange().push("mixed")
    theirs.exchange().pull("mixed@1")
    fetched = theirs.exchange().pull("mixed")

    assert sum(each.size_bytes for each in sent.missing if each.kind is None) == len("changed")
    assert sum(each.size_bytes for each in fetched.missing) == len("changed")
    assert [version.number for version in theirs.datasets.versions.named("mixed")] == [2, 1]
    theirs.datasets.verify(theirs.datasets.versions.resolve("mixed@2"))


def test_a_large_file_goes_in_pieces(ours: Project, theirs: Project, tmp_path: Path) -> None:
    """An edit of a large file sends what changed, and the whole comes out on the other side."""
    large = tmp_path / "large.bin"
    data = os.urandom(70 << 20)
    large.write_bytes(data)
    ours.datasets.add(large, "large")
    ours.exchange().push("large")
    large.write_bytes(data[: 30 << 20] + b"inserted" * 1000 + data[30 << 20 :])
    ours.datasets.add(large, "large")

    sent = ours.exchange().push("large")
    theirs.exchange().pull("large")

    assert sum(each.size_bytes for each in sent.missing) < 12 << 20
    theirs.datasets.checkout("large@2", tmp_path / "out.bin")
    assert (tmp_path / "out.bin").read_bytes() == large.read_bytes()
    assert theirs.verify().faults == ()


def test_the_same_number_with_other_bytes_is_a_conflict(ours: Project, theirs: Project) -> None:
    """Neither a push nor a pull writes over a version; exit code 4."""
    ours.exchange().push("mixed@1")
    (theirs.root / "other.csv").write_text("a,b\n1,2\n")
    theirs.datasets.add(theirs.root / "other.csv", "mixed")

    for move in (theirs.exchange().push, theirs.exchange().pull):
        with pytest.raises(Conflict, match="mixed@1 is b3:") as raised:
            move("mixed@1")
        assert raised.value.exit_code == 4
        assert raised.value.hint

    assert len(theirs.datasets.versions.named("mixed")) == 1


def test_a_push_that_fails_leaves_no_record(
    ours: Project, theirs: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record is written last: until then nobody sees the version; a second try sends the rest."""
    exchange = ours.exchange()
    real, sent = exchange._remote.objects.put, []

    def put(*arguments: object, **options: object) -> object:
        if len(sent) == 2:
            raise Unavailable("the network is gone")
        sent.append(arguments)
        return real(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(exchange._remote.objects, "put", put)
    with pytest.raises(Unavailable):
        exchange.push("mixed")

    with pytest.raises(NotFound, match="has no dataset mixed"):
        theirs.exchange().pull("mixed")
    again = ours.exchange().push("mixed")
    assert len(again.missing) == 1
    theirs.exchange().pull("mixed")


def test_what_is_damaged_on_the_remote_is_not_taken(ours: Project, theirs: Project, address: str) -> None:
    """Bytes that are not what they are called: exit code 5, and no version appears."""
    found = ours.exchange().push("mixed")
    pack = max(found.missing, key=lambda each: each.size_bytes if each.kind is None else 0)
    remote = remote_of(ours, address)
    key = f"objects/{pack.digest[:2]}/{pack.digest[2:]}"
    remote.records.write(key, remote.records.read(key)[::-1])

    with pytest.raises(Corrupt, match=pack.digest[:12]) as raised:
        theirs.exchange().pull("mixed")

    assert raised.value.exit_code == 5
    assert theirs.datasets.versions.named("mixed") == []


@pytest.mark.parametrize("lie", ["other places", "another name", "no JSON", "no digest", "no tags"])
def test_a_record_that_lies_is_not_believed(ours: Project, theirs: Project, address: str, lie: str) -> None:
    """What a remote says of where bytes lie is looked at."""
    ours.exchange().push("mixed")
    remote = remote_of(ours, address)
    key = "datasets/mixed/1.json"
    record = json.loads(remote.records.read(key))
    if lie == "other places":
        for parts in record["packs"].values():
            parts[0]["start"], parts[1]["start"] = parts[1]["start"], parts[0]["start"]
            parts[0]["size_bytes"] = parts[1]["size_bytes"] = len("small 0\n" * 10)
    elif lie == "another name":
        record["name"] = "other"
    elif lie == "no digest":
        record["digest"] = "../../../etc/passwd"
    elif lie == "no tags":
        record["about"]["tags"] = ["x"]
    remote.records.write(key, b"{" if lie == "no JSON" else json.dumps(record).encode())

    with pytest.raises(Corrupt):
        theirs.exchange().pull("mixed")

    assert theirs.datasets.versions.named("mixed") == []
    own, _ = theirs.datasets.add(ours.root / "data", "own")  # nothing of the lie is relied on
    theirs.datasets.verify(own)


def test_a_store_of_a_workspace_is_no_remote(ours: Project, tmp_path: Path, address: str) -> None:
    """It collects what it does not name; and a remote never becomes a workspace's store."""
    with pytest.raises(Conflict, match="is the object store of a workspace"):
        ours.exchange(str(tmp_path / "ours" / ".mlwright")).push("mixed")
    ours.exchange().push("mixed")

    if address.startswith("s3:"):
        root = write(tmp_path / "third", {"pyproject.toml": f'{PYPROJECT}objects = "{address}"\n'})
        with pytest.raises(Conflict, match="is a remote"):
            Project.open(root)


def test_a_remote_on_a_bad_day_gets_and_gives_everything(s3: Place, tmp_path: Path) -> None:
    """A fifth of all requests fails: what arrives is right."""
    with FaultyProxy(
        s3.server.port, share=0.2, faults=["500", "503", "truncate", "flip", "flip upload"], seed=6
    ) as proxy:
        address = f"{s3.url}?endpoint={proxy.url}"
        root = project(tmp_path / "one", address)
        for number in range(20):
            (root / "data").mkdir(exist_ok=True)
            (root / "data" / f"{number}.bin").write_bytes(os.urandom(80_000))
        with Project.open(root) as one, Project.open(project(tmp_path / "two", address)) as two:
            one.datasets.add(root / "data", "files")
            one.exchange().push("files")
            two.exchange().pull("files")
            two.datasets.verify(two.datasets.versions.resolve("files"))

    assert sum(proxy.met.values()) > 5


@pytest.mark.parametrize(
    ("reference", "error", "message"),
    [
        ("nothing", NotFound, "has no dataset nothing"),
        ("mixed@9", NotFound, "has no dataset mixed@9"),
        ("mixed@best", Invalid, "is unknown to a remote"),
    ],
)
def test_what_a_remote_has_not_is_said(
    ours: Project, theirs: Project, reference: str, error: type[Exception], message: str
) -> None:
    """With what it has."""
    ours.exchange().push("mixed")

    with pytest.raises(error, match=message):
        theirs.exchange().pull(reference)


def test_remotes_have_names() -> None:
    """`origin`, or the only one, is meant where none is named."""
    assert remote_named(None, {"disk": "/d"}) == "/d"
    assert remote_named(None, {"disk": "/d", "origin": "/o"}) == "/o"
    assert remote_named("disk", {"disk": "/d", "origin": "/o"}) == "/d"
    assert remote_named("s3://bucket/x", {}) == "s3://bucket/x"
    for name, remotes, hint in [(None, {}, "remotes ="), ("dusk", {"disk": "/d", "o": "/o"}, "disk")]:
        with pytest.raises(NotFound, match="there is no remote") as raised:
            remote_named(name, remotes)
        assert hint in (raised.value.hint or "")


def test_the_commands_push_and_pull(tmp_path: Path, s3: Place) -> None:
    """As a user types them: a plan first, then the work, then JSON; no secret in what is shown."""
    one, two = project(tmp_path / "one", s3.url), project(tmp_path / "two", s3.url)
    (one / "t.csv").write_text("a,b\n1,2\n")
    mlwright("datasets", "add", "t.csv", "--name", "t", cwd=one)

    planned = mlwright("datasets", "push", "t", "--dry-run", cwd=one)
    assert mlwright("datasets", "pull", "t", cwd=two).returncode == 3
    pushed = mlwright("datasets", "push", "t@1", "origin", cwd=one)
    pulled = mlwright("datasets", "pull", "t", "--json", cwd=two)

    assert planned.stdout.startswith("plan: t@1 to s3://")
    assert pushed.returncode == 0, pushed.stderr
    assert [change["action"] for change in json.loads(pulled.stdout)["changes"]] == ["fetch", "add"]
    shown = mlwright("datasets", "checkout", "t@1", "out.csv", cwd=two)
    assert (two / "out.csv").read_text() == "a,b\n1,2\n", shown.stderr
    shutil.rmtree(one)
    assert SECRET not in planned.stdout + pushed.stdout + pulled.stdout
