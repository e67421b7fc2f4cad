"""Bundles: a run in one file, made again in another workspace; and files that are no bundles, or lie."""

from __future__ import annotations

import gzip
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from mlwright.app import Project
from mlwright.kernel.clock import now_us
from mlwright.kernel.digest import composite, digest_of
from mlwright.kernel.errors import Conflict, Corrupt, Incompatible, Invalid, MlwrightError, NotFound
from mlwright.workflow.compare import compare_runs
from mlwright.workflow.detail import logs, run_detail
from mlwright.workflow.why import why
from tests.conftest import PYPROJECT, lock_project, mlwright, write

PIPELINE = """
from pathlib import Path
from mlwright import Dataset, log_metric, log_param, pipeline, step

class Mine:
    def __init__(self, rows):
        self.rows = rows

@step
def rows(data: Dataset) -> list[int]:
    print("counting")
    return [len(line) for line in data.open().read().split()]

@step
def keep(rows: list[int]) -> Mine:
    log_metric("rows", len(rows))
    log_param("kept", True)
    return Mine(rows)

@step
def report(rows: list[int]) -> Path:
    Path("report").mkdir()
    Path("report/rows.txt").write_text("x" * 5000 + str(rows))
    return Path("report")

@pipeline
def count(data: Dataset = Dataset("notes@latest"), factor: float = 0.5):
    found = rows(data)
    keep(found)
    report(found)
"""

Members = dict[str, bytes]
Change = Callable[[dict[str, Any], Members], object]


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project with one run, exported as `plain.tar` and `whole.tar` beside it."""
    root = project_in(tmp_path_factory.mktemp("origin") / "project")
    write(root, {"pipelines/p.py": PIPELINE, "notes.txt": "one three five\n"})
    with Project.open(root) as project:
        lock_project(project)
        project.datasets.add(root / "notes.txt", "notes")
        project.run("count")
        project.export_run("latest", root.parent / "plain.tar")
        project.export_run("latest", root.parent / "whole.tar", with_outputs=True)
        yield project


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Project]:
    """Another project, with a workspace of its own and nothing in it."""
    with Project.open(project_in(tmp_path / "other")) as project:
        yield project


def project_in(folder: Path) -> Path:
    """A folder with an empty project."""
    return write(folder, {"pyproject.toml": PYPROJECT})


def bundle(origin: Project, name: str = "plain") -> Path:
    """One of the two files."""
    return origin.root.parent / f"{name}.tar"


def records(project: Project) -> tuple[int, ...]:
    """How many rows each table has that an import could add to."""
    tables = ("run", "attempt", "artifact", "version", "snapshot", "lock", "edge", "event")
    return tuple(
        project.rooms.database.read(f"SELECT count(*) AS n FROM {table}")[0]["n"] for table in tables
    )


def test_a_run_is_made_again_from_a_bundle_in_another_workspace(origin: Project, other: Project) -> None:
    """Nothing of the first workspace is needed; what came is marked, shown, and found identical again."""
    run, new = other.import_run(bundle(origin))

    detail, first = run_detail(other.rooms, run.id), run_detail(origin.rooms, run.id)
    reproduction = other.reproduce(run.id)

    assert new
    assert run.about["imported"]["workspace"] == origin.rooms.workspace.id
    assert other.runs.get(run.id).about["imported"] == run.about["imported"]
    assert detail.parameters == first.parameters and detail.logged_parameters == {"kept": True}
    assert detail.metrics == first.metrics
    assert detail.made_with.keys() == first.made_with.keys()
    assert [each.attempt.node for each in detail.attempts] == [each.attempt.node for each in first.attempts]
    assert logs(other.rooms, run.id, "rows")[0][1] == "counting\n"
    assert [each.verdict for each in reproduction.comparisons] == ["identical"] * 3
    shown = mlwright("runs", "show", run.id, cwd=other.root).stdout
    assert "imported   from workspace" in shown
    digest = first.attempts[0].outputs["result"].digest
    assert f"result=b3:{digest[:12]}" in shown
    assert other.verify().faults == ()


def test_with_outputs_their_bytes_come_too_and_pickles_stay_foreign(origin: Project, other: Project) -> None:
    """Values can be looked at and compared; what was pickled elsewhere is never trusted."""
    run, _ = other.import_run(bundle(origin, "whole"))

    made = {each.step: each.artifact for each in other.artifacts.list(run.id)}
    compared = compare_runs(other.rooms, run.id, run.id)

    assert json.loads(other.rooms.objects.get(made["rows"].digest)) == [3, 5, 4]
    assert made["report"].codec == "tree"
    assert other.artifacts.checkout(f"{run.id}/report", other.root / "out").joinpath("rows.txt").exists()
    assert (made["keep"].codec, made["keep"].ours) == ("pickle", False)
    assert not any(each.ours for each in made.values())
    assert {each.verdict for each in compared.outputs} == {"identical"}
    assert other.verify().faults == ()


def test_imported_results_are_never_reused(origin: Project, other: Project) -> None:
    """A file from elsewhere cannot put results into the cache."""
    other.import_run(bundle(origin, "whole"))
    write(other.root, {"pipelines/p.py": PIPELINE})
    lock_project(other)

    again = other.run("count")

    assert {each.state for each in other.rooms.attempts.of_run(again.id)} == {"succeeded"}


def test_the_same_run_gives_the_same_bytes_and_twice_is_once(
    origin: Project, other: Project, tmp_path: Path
) -> None:
    """A bundle can be compared by its digest; a second import changes nothing."""
    mlwright("runs", "export", "latest", str(tmp_path / "again.tar"), cwd=origin.root, TZ="Asia/Tokyo")
    other.import_run(bundle(origin))
    before = records(other)

    _, new = other.import_run(tmp_path / "again.tar")

    assert (tmp_path / "again.tar").read_bytes() == bundle(origin).read_bytes()
    assert not new
    assert records(other) == before


def test_a_run_that_reused_everything_is_whole_in_its_bundle(
    origin: Project, other: Project, tmp_path: Path
) -> None:
    """What an earlier run made comes with it, also beside the bundle of that run."""
    again = origin.run("count")
    origin.export_run(again.id, tmp_path / "reused.tar", with_outputs=True)

    other.import_run(bundle(origin, "whole"))
    run, _ = other.import_run(tmp_path / "reused.tar")

    made = {each.step: each.artifact.digest for each in other.artifacts.list(run.id)}
    assert made == {each.step: each.artifact.digest for each in origin.artifacts.list(again.id)}
    assert {each.verdict for each in other.reproduce(run.id).comparisons} <= {"identical", "not comparable"}


def test_why_an_imported_step_ran_is_known_elsewhere(origin: Project, other: Project, tmp_path: Path) -> None:
    """Its cache keys did not come, neither did what it reused."""
    again = origin.run("count")
    origin.export_run(again.id, tmp_path / "reused.tar")
    runs = [other.import_run(each)[0] for each in (bundle(origin), tmp_path / "reused.tar")]

    told = {why(other.rooms, run.id, step).summary for run in runs for step in ("rows", "keep")}

    assert len(told) == 1
    assert "this run was imported" in told.pop()


def test_what_cannot_be_made_again_is_not_offered(origin: Project, other: Project, tmp_path: Path) -> None:
    """A run that failed is shown; there is nothing to reproduce."""
    manifest, files = unpacked(bundle(origin))
    manifest["run"].update(state="failed", error={"message": "x", "where": ""})
    failed = packed(tmp_path / "failed.tar", manifest, files)

    first = mlwright("runs", "import", str(failed), cwd=other.root)

    assert first.returncode == 0, first.stderr
    assert "make it again" not in first.stdout


def test_an_imported_run_can_be_exported_again(origin: Project, other: Project, tmp_path: Path) -> None:
    """What it made stays known by its digests, through as many workspaces as it goes."""
    run, _ = other.import_run(bundle(origin))
    other.export_run(run.id, tmp_path / "second.tar")
    with Project.open(project_in(tmp_path / "third")) as third:
        third.import_run(tmp_path / "second.tar")

        planned = mlwright("runs", "reproduce", run.id, "--dry-run", cwd=third.root)

    for each in origin.artifacts.list(run.id):
        assert f"b3:{each.artifact.digest[:12]}" in planned.stdout


def test_a_bundle_meets_another_version_of_the_same_number(origin: Project, other: Project) -> None:
    """`notes@1` is something else here: nothing is imported, and nothing is written over."""
    write(other.root, {"notes.txt": "others\n"})
    other.datasets.add(other.root / "notes.txt", "notes")
    before = records(other)

    with pytest.raises(Conflict, match="notes@1 as b3:"):
        other.import_run(bundle(origin))

    assert records(other) == before


KILLED = """
import os, signal, sys
from pathlib import Path
from mlwright.app import Project
from mlwright.tracking.runs import Runs

Runs.adopt = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
with Project.open(Path(sys.argv[1])) as project:
    project.import_run(Path(sys.argv[2]))
"""


def test_an_import_that_is_killed_leaves_no_record(origin: Project, other: Project) -> None:
    """What the run was made with is recorded with the run, or not at all; a second import does both."""
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, str(other.root), str(bundle(origin))], capture_output=True, text=True
    )
    left = records(other)

    run, new = other.import_run(bundle(origin))

    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert left == (0,) * 8
    assert new
    assert other.runs.get(run.id).id == run.id
    assert other.verify().faults == ()


def test_a_number_that_is_not_given_again_leaves_nothing(origin: Project, other: Project) -> None:
    """`notes@1` was removed here: the import is refused, with all that the run was made with."""
    write(other.root, {"notes.txt": "others\n"})
    other.datasets.add(other.root / "notes.txt", "notes")
    removed = mlwright("datasets", "rm", "notes@1", cwd=other.root)
    before = records(other)

    with pytest.raises(Conflict, match="notes@1 was removed"):
        other.import_run(bundle(origin))

    assert removed.returncode == 0, removed.stderr
    assert records(other) == before


def test_commands_show_the_plan_first(origin: Project, other: Project, tmp_path: Path) -> None:
    """`--dry-run` writes neither the file nor a record."""
    target = tmp_path / "run.tar"

    planned = mlwright("runs", "export", "latest", str(target), "--dry-run", cwd=origin.root)
    exported = mlwright("runs", "export", "latest", str(target), cwd=origin.root)
    taken = mlwright("runs", "export", "latest", str(target), cwd=origin.root)
    forced = mlwright("runs", "export", "latest", str(target), "--force", "--json", cwd=origin.root)
    looked = mlwright("runs", "import", str(target), "--dry-run", cwd=other.root)
    nothing = records(other)
    imported = mlwright("runs", "import", str(target), "--json", cwd=other.root)

    assert "dataset notes@1" in planned.stdout and "0 of" in planned.stdout
    assert (exported.returncode, taken.returncode, forced.returncode) == (0, 4, 0), taken.stderr
    assert "--force" in taken.stderr
    assert "add" in looked.stdout and "dataset notes@1" in looked.stdout
    assert nothing == (0,) * 8
    assert json.loads(imported.stdout)["pipeline"] == "count"


@pytest.mark.parametrize(
    ("reference", "target", "error"),
    [("0000", "run.tar", NotFound), ("latest", ".", Conflict), ("latest", "no/where/run.tar", NotFound)],
)
def test_what_cannot_be_exported_is_said(
    origin: Project, tmp_path: Path, reference: str, target: str, error: type[MlwrightError]
) -> None:
    """A run that is not there; a folder instead of a file."""
    with pytest.raises(error):
        origin.export_run(reference, tmp_path / target)

    assert list(tmp_path.iterdir()) == []


def unpacked(path: Path) -> tuple[dict[str, Any], Members]:
    """The manifest of a bundle, and its other files."""
    with tarfile.open(path) as tar:
        files = {each.name: tar.extractfile(each).read() for each in tar}  # type: ignore[union-attr]
    return json.loads(files.pop("bundle.json")), files


def packed(path: Path, manifest: dict[str, Any] | bytes, files: Members) -> Path:
    """A bundle as somebody else may write it."""
    text = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
    with tarfile.open(path, "w") as tar:
        for name, data in {"bundle.json": text, **files}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def put(manifest: dict[str, Any], files: Members, kind: str, data: bytes, old: str = "") -> str:
    """Have other bytes in a bundle, named as they should be; those of an old digest are taken out."""
    digest = str(digest_of(data, "tree" if kind == "tree" else None))
    members = [each for each in manifest["members"] if each["digest"] != old]
    if digest not in {each["digest"] for each in members}:
        members.append({"digest": digest, "kind": kind, "size_bytes": len(data)})
    manifest["members"] = sorted(members, key=lambda each: (each["kind"], each["digest"]))
    files.pop(f"{kind}s/{old}", None)
    files[f"{kind}s/{digest}"] = data
    names = [f"{each['kind']}s/{each['digest']}" for each in manifest["members"]]
    for name in names:
        files[name] = files.pop(name)
    return digest


def with_files(paths: Sequence[str], data: bytes) -> Change:
    """The code snapshot has more files, all with these bytes, and says so as it should."""

    def change(manifest: dict[str, Any], files: Members) -> None:
        snapshot = manifest["snapshot"]
        evil = put(manifest, files, "object", data)
        entries = json.loads(files[f"trees/{snapshot['tree']}"])
        entries += [
            {"digest": evil, "executable": False, "path": path, "size_bytes": len(data)} for path in paths
        ]
        entries.sort(key=lambda each: each["path"])
        text = json.dumps(entries, separators=(",", ":")).encode()
        snapshot["tree"] = put(manifest, files, "tree", text, old=snapshot["tree"])
        snapshot["files"] += len(paths)
        snapshot["size_bytes"] += len(paths) * len(data)
        told = {
            "commit": snapshot["git_commit"],
            "remote": snapshot["git_remote"],
            "dirty": snapshot["dirty"],
        }
        snapshot["digest"] = composite("snapshot", {"tree": snapshot["tree"], **told})

    return change


def with_a_file_called(path: str) -> Change:
    """One more file of code."""
    return with_files([path], b"evil\n")


def member(manifest: dict[str, Any], at: int = 0) -> dict[str, Any]:
    """One of the files that a manifest names."""
    found: dict[str, Any] = manifest["members"][at]
    return found


def with_a_model(**about: Any) -> Change:
    """The run compared with a model, of which the bundle says this."""

    def change(manifest: dict[str, Any], files: Members) -> None:
        dataset, digest = manifest["datasets"]["notes@latest"], put(manifest, files, "object", b"a model")
        known = {"metrics": {}, "parameters": {}, "signature": None} | about
        told = {key: value for key, value in known.items() if value != "not there"}
        version = dataset | {
            "kind": "model",
            "name": "other",
            "digest": digest,
            "size_bytes": 7,
            "about": told,
        }
        artifact = manifest["made"][0]["artifact"] | {"digest": digest, "size_bytes": 7, "codec": "skops"}
        manifest["models"] = {"other@champion": {"version": version, "artifact": artifact}}

    return change


def with_a_lock(text: str) -> Change:
    """The run's environment is this pylock, and is called so."""

    def change(manifest: dict[str, Any], files: Members) -> None:
        lock = manifest["locks"][""]
        lock["pylock"] = put(manifest, files, "object", text.encode(), old=lock["pylock"])
        named = {name: lock[name] for name in ("pylock", "python", "platform")}
        lock["digest"] = str(composite("lock", named))

    return change


WHEEL = f'path = "wheels/b3-{"0" * 64}/x-1-py3-none-any.whl"'

LIES: dict[str, tuple[Change, str]] = {
    "a file is not there": (lambda m, f: f.pop(next(iter(f))), "names"),
    "a file too many": (
        lambda m, f: f.update({"objects/more": b""}),
        "more than its manifest",
    ),
    "another name": (
        lambda m, f: f.update({"../../x": f.popitem()[1]}),
        "where its manifest",
    ),
    "other bytes": (
        lambda m, f: f.update({next(iter(f)): b"x" * member(m)["size_bytes"]}),
        "other bytes than its name says",
    ),
    "another size": (lambda m, f: member(m).update(size_bytes=1), "where its manifest"),
    "larger than it is": (
        lambda m, f: member(m).update(size_bytes=1 << 60),
        "larger than it",
    ),
    "less than nothing": (lambda m, f: member(m).update(size_bytes=-1), "larger than it"),
    "no digest": (lambda m, f: member(m).update(digest="../" * 21 + "x"), "no digest"),
    "no id": (lambda m, f: m["run"].update(id="../../x"), "no id"),
    "twice": (lambda m, f: m["members"].append(member(m)), "twice"),
    "unknown field": (lambda m, f: m.update(more=1), "cannot be read"),
    "a wrong type": (lambda m, f: m.update(attempts="x"), "cannot be read"),
    "no format": (lambda m, f: m.update(format=0), "format"),
    "the run goes on": (lambda m, f: m["run"].update(state="running"), "goes on"),
    "from the future": (lambda m, f: m["run"].update(finished_us=1 << 62), "future"),
    "of tomorrow": (
        lambda m, f: m["run"].update(finished_us=now_us() + 3_600_000_000),
        "future",
    ),
    "a number too large": (
        lambda m, f: m["datasets"]["notes@latest"].update(number=2**63),
        "number that none has",
    ),
    "no number": (
        lambda m, f: m["datasets"]["notes@latest"].update(number=0),
        "number that none has",
    ),
    "variables that are none": (lambda m, f: m["run"]["about"].update(variables=["x"]), "not clear"),
    "left out by number": (lambda m, f: m["run"]["about"].update(left_out=3), "not clear"),
    "no such machine": (lambda m, f: m["run"]["machine"].update(memory_bytes="x"), "not clear"),
    "an error without words": (lambda m, f: m["attempts"][0]["detail"].update(error=[]), "not clear"),
    "a title for the terminal": (
        lambda m, f: m["run"].update(pipeline="\x1b]0;x\x07"),
        "no terminal can show",
    ),
    "a node for the terminal": (
        lambda m, f: m["attempts"][0].update(node="\x1b[2J"),
        "no terminal can show",
    ),
    "a type for the terminal": (
        lambda m, f: m["made"][0]["artifact"].update(type="\x1b[2J"),
        "no terminal can show",
    ),
    "a message for the terminal": (
        lambda m, f: m["datasets"]["notes@latest"].update(message="\x1b[2J"),
        "no terminal can show",
    ),
    "an output outside": (
        lambda m, f: m["made"][0].update(role="output:../x"),
        "by a path",
    ),
    "a logged file outside": (
        lambda m, f: m["made"][0].update(role="logged:a/../../x"),
        "by a path",
    ),
    "a model's file without a signature": (
        with_a_model(source={"file": "x"}, signature="not there"),
        "not clear.*signature",
    ),
    "a signature that is none": (with_a_model(signature={"inputs": 3}), "not clear.*signature"),
    "a metric that is none": (with_a_model(metrics={"auc": "x"}), "not clear.*metrics"),
    "a source for the terminal": (with_a_model(source={"file": "\x1b[2J"}), "no terminal can show"),
    "tags that are none": (lambda m, f: m["datasets"]["notes@latest"]["about"].update(tags=3), "not clear"),
    "a source of nowhere": (
        lambda m, f: m["datasets"]["notes@latest"]["about"].update(source={"etag": 1}),
        "not clear",
    ),
    "of another run": (
        lambda m, f: m["attempts"][0].update(run_id="0" * 26),
        "another run",
    ),
    "a cache key": (lambda m, f: m["attempts"][0].update(fingerprint="0" * 64), "reused"),
    "no environment": (lambda m, f: m["locks"].clear(), "no environment"),
    "a lock's name": (
        lambda m, f: m["locks"][""].update(digest="0" * 64),
        "not what it is called",
    ),
    "a package that did not come": (
        with_a_lock(f'[[packages]]\nname = "x"\nwheels = [{{{WHEEL}}}]\n'),
        "a package that is not in the bundle",
    ),
    "a lock that is none": (with_a_lock(f"{WHEEL}\n[["), "is no lock"),
    "a lock of another form": (with_a_lock(f"packages = 3\n{WHEEL}"), "is no lock"),
    "a snapshot's name": (
        lambda m, f: m["snapshot"].update(digest="0" * 64),
        "not what it is called",
    ),
    "an output of no attempt": (
        lambda m, f: m["made"][0].update(attempt="0" * 26),
        "no attempt",
    ),
    "an edge of its own": (
        lambda m, f: m["taken"][0].update(role="code"),
        "took what is not",
    ),
    "a script outside": (
        lambda m, f: m["run"].update(kind="script", pipeline="../../x.py"),
        "no kind of run",
    ),
    "a hook in the code": (with_a_file_called(".git/hooks/post-checkout"), "which none takes"),
    "a workspace in the code": (with_a_file_called(".mlwright/metadata.db"), "which none takes"),
    "a way out of the code": (with_a_file_called("../../evil"), "unsafe path"),
    "more code than bytes": (
        with_files([f"copy{at}" for at in range(100)], bytes(1 << 20)),
        "far larger than the bundle",
    ),
    "an absolute path in the code": (with_a_file_called("/tmp/evil"), "unsafe path"),
}


@pytest.mark.parametrize(("change", "message"), LIES.values(), ids=LIES)
def test_a_bundle_that_lies_is_refused_and_nothing_is_recorded(
    origin: Project, other: Project, tmp_path: Path, change: Change, message: str
) -> None:
    """Whatever its manifest says, no record and no file comes of it."""
    manifest, files = unpacked(bundle(origin))
    change(manifest, files)
    forged = packed(tmp_path / "forged.tar", manifest, files)

    with pytest.raises(Corrupt, match=message):
        other.import_run(forged)

    assert records(other) == (0,) * 8
    assert list(other.rooms.objects.incoming.glob("bundle-*")) == []
    assert {each.name for each in tmp_path.iterdir()} == {"other", "forged.tar"}


def test_a_file_that_was_registered_elsewhere_is_not_registered_here(
    origin: Project, other: Project, tmp_path: Path
) -> None:
    """A model that came with a run has no page and no alias, also one that tells which file it was."""
    manifest, files = unpacked(bundle(origin))
    with_a_model(source={"file": "x.skops", "format": "skops"})(manifest, files)

    other.import_run(packed(tmp_path / "with a model.tar", manifest, files))

    (version,) = other.models.versions.named("other")
    assert other.models.versions.is_taken_over(version)
    with pytest.raises(NotFound, match="was taken over from another workspace"):
        other.models.detail("other")
    with pytest.raises(Invalid, match="was taken over"):
        other.models.versions.set_alias("other@1", "champion")
    assert other.verify().faults == ()


def test_what_a_step_raised_is_shown_without_its_colours(
    origin: Project, other: Project, tmp_path: Path
) -> None:
    """An error is anything's text: it is taken over, and no terminal obeys it."""
    manifest, files = unpacked(bundle(origin))
    told = {"message": "\x1b[31mred\nblue", "where": "p.py:1"}
    manifest["run"].update(state="failed", error=told)
    manifest["attempts"][0]["detail"]["error"] = told

    run, _ = other.import_run(packed(tmp_path / "failed.tar", manifest, files))

    assert run.error == {"message": "\\x1b[31mred\nblue", "where": "p.py:1"}
    assert other.rooms.attempts.of_run(run.id)[0].error == run.error["message"]


def special(
    kind: bytes, name: str = "objects/" + "0" * 64, target: str = "/etc/passwd"
) -> Callable[[bytes], bytes]:
    """A member of a kind that no bundle has, behind the manifest."""

    def change(data: bytes) -> bytes:
        info = tarfile.TarInfo("objects/" + "0" * 64)
        info.type, info.linkname = kind, "/etc/passwd"
        manifest_blocks = 512 + -(-int(data[124:135], 8) // 512) * 512
        return data[:manifest_blocks] + info.tobuf(tarfile.GNU_FORMAT) + data[manifest_blocks:]

    return change


def long_name(data: bytes) -> bytes:
    """A header of its own, of as many bytes as it says."""
    return tarfile.TarInfo("x" * 5000).tobuf(tarfile.PAX_FORMAT) + data


SHAPES: dict[str, Callable[[bytes], bytes]] = {
    "a symbolic link": special(tarfile.SYMTYPE),
    "a hard link": special(tarfile.LNKTYPE),
    "a device": special(tarfile.CHRTYPE),
    "a pipe": special(tarfile.FIFOTYPE),
    "a folder": special(tarfile.DIRTYPE),
    "a sparse file": special(tarfile.GNUTYPE_SPARSE),
    "a long header": long_name,
    "compressed": gzip.compress,
    "cut off": lambda data: data[: len(data) // 2],
    "cut off in the head": lambda data: data[:300],
    "without an end": lambda data: data[:-1024],
    "more behind its end": lambda data: data + b"more",
    "nothing": lambda data: b"",
    "zeros": lambda data: bytes(4096),
    "no tar": lambda data: b"PK\3\4" + data,
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_what_is_no_plain_tar_is_refused(
    origin: Project, other: Project, tmp_path: Path, shape: Callable[[bytes], bytes]
) -> None:
    """Links, devices, sparse files, headers of any length, compression, half a file."""
    forged = tmp_path / "forged.tar"
    forged.write_bytes(shape(bundle(origin).read_bytes()))

    with pytest.raises(Corrupt):
        other.import_run(forged)

    assert records(other) == (0,) * 8
    assert list(other.rooms.objects.incoming.glob("bundle-*")) == []


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{" * 100_000, b"\xff", b'{"format": ' + b"9" * 5000 + b"}"], ids=range(5)
)
def test_a_manifest_that_is_none_is_refused(other: Project, tmp_path: Path, text: bytes) -> None:
    """Not JSON, too deep, or something else."""
    with pytest.raises(Corrupt, match=r"bundle\.json cannot be read"):
        other.import_run(packed(tmp_path / "forged.tar", text, {}))


def test_what_a_newer_version_wrote_is_said(other: Project, tmp_path: Path) -> None:
    """Another format is not guessed at."""
    with pytest.raises(Incompatible, match="newer mlwright"):
        other.import_run(packed(tmp_path / "newer.tar", {"format": 2}, {}))


def test_only_a_file_is_read(other: Project, tmp_path: Path) -> None:
    """A folder, nothing, and a pipe, which would never end."""
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(NotFound):
        other.import_run(tmp_path / "none.tar")
    for place in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(Invalid, match="not a file"):
            other.import_run(place)


def test_an_id_that_is_taken_is_a_conflict(origin: Project, other: Project, tmp_path: Path) -> None:
    """A bundle cannot hang outputs on an attempt of another run; the run is not recorded in part."""
    other.import_run(bundle(origin))
    manifest, files = unpacked(bundle(origin))
    manifest["run"]["id"] = manifest["run"]["id"][:-1] + ("0" if manifest["run"]["id"][-1] != "0" else "1")
    for attempt in manifest["attempts"]:
        attempt["run_id"] = manifest["run"]["id"]
    manifest["datasets"]["notes@latest"]["name"] = "more"
    before = records(other)

    with pytest.raises(Conflict, match="an id that is taken"):
        other.import_run(packed(tmp_path / "forged.tar", manifest, files))

    assert records(other) == before


CHANCE = """
import random
from mlwright import pipeline, step

class Mine:
    def __init__(self, number):
        self.number = number

@step
def number() -> float:
    return random.SystemRandom().random()

@step
def mine() -> Mine:
    return Mine(random.SystemRandom().random())

@pipeline
def chance():
    number()
    mine()
"""


@pytest.mark.parametrize("with_outputs", [False, True])
def test_what_differs_from_an_imported_run_is_looked_into_if_its_bytes_came(
    other: Project, tmp_path: Path, with_outputs: bool
) -> None:
    """Without them a number is different, for other bytes are; of a foreign pickle nothing is known."""
    root = write(project_in(tmp_path / "first"), {"pipelines/p.py": CHANCE})
    with Project.open(root) as first:
        lock_project(first)
        first.run("chance")
        first.export_run("latest", tmp_path / "run.tar", with_outputs=with_outputs)
    run, _ = other.import_run(tmp_path / "run.tar")

    found = {each.node: each for each in other.reproduce(run.id).comparisons}

    assert {node: each.verdict for node, each in found.items()} == {
        "number": "different",
        "mine": "not comparable",
    }
    if with_outputs:
        assert found["number"].difference is not None and found["number"].difference.kind == "floats"
        assert "was not made by a run of this workspace" in found["mine"].reason
    else:
        assert "--with-outputs" in found["number"].reason and "--with-outputs" in found["mine"].reason
