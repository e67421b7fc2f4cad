"""A workspace whose objects are in a bucket."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mlwright.kernel.errors import Conflict, Invalid, NotFound, Unavailable
from mlwright.kernel.settings import find_project
from mlwright.workspace import Workspace, open_workspace
from mlwright.workspace.layout import keep_in_folder
from tests.processes import run_python
from tests.s3 import KEY, SECRET, Place


def project(folder: Path, objects: str = "") -> Path:
    """A project's folder."""
    folder.mkdir(exist_ok=True)
    setting = f'objects = "{objects}"\n' if objects else ""
    (folder / "pyproject.toml").write_text(f'[project]\nname = "{folder.name}"\n[tool.mlwright]\n{setting}')
    return folder


def opened(folder: Path) -> Workspace:
    """Its workspace."""
    return open_workspace(find_project(folder))


def test_objects_go_to_the_bucket_and_come_from_there(s3: Place, tmp_path: Path) -> None:
    """What is put is a key of the bucket; with this machine's own state gone it is read from there."""
    folder = project(tmp_path / "one", s3.url)
    workspace = opened(folder)
    digest = workspace.objects.put(b"bytes" * 10_000).digest
    workspace.close()
    assert s3.bucket().read(f"objects/{digest[:2]}/{digest[2:]}") == b"bytes" * 10_000

    shutil.rmtree(folder / ".mlwright" / "local")

    workspace = opened(folder)
    assert workspace.objects.get(digest) == b"bytes" * 10_000
    assert workspace.objects.path(digest).read_bytes() == b"bytes" * 10_000
    assert not (folder / ".mlwright" / "objects").exists()
    assert workspace.objects_at == str(s3.address)
    workspace.close()


def test_the_bucket_carries_the_id_of_its_workspace(s3: Place, tmp_path: Path) -> None:
    """Another workspace is refused before it has written anything."""
    workspace = opened(project(tmp_path / "one", s3.url))
    workspace.close()
    assert s3.bucket().read("WORKSPACE").decode().strip() == workspace.id

    for _ in range(2):
        with pytest.raises(Conflict, match="belongs to another workspace") as raised:
            opened(project(tmp_path / "two", s3.url))

    assert raised.value.exit_code == 4
    assert raised.value.hint
    assert s3.bucket().read("WORKSPACE").decode().strip() == workspace.id
    opened(tmp_path / "one").close()


def test_a_known_bucket_is_not_asked_at_opening(
    s3: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records are read without a network; only who wants bytes needs it, or the cache."""
    workspace = opened(project(tmp_path / "one", s3.url))
    digest = workspace.objects.put(b"cached").digest
    workspace.close()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")

    workspace = opened(tmp_path / "one")

    assert workspace.objects.get(digest) == b"cached"
    with pytest.raises((Unavailable, NotFound), match="cannot be reached"):
        workspace.objects.put(b"new" * 5000)
    workspace.close()


def test_objects_do_not_move_by_a_setting(s3: Place, tmp_path: Path) -> None:
    """A bucket instead of the folder, another bucket, or none any more: refused, and nothing is lost."""
    one = project(tmp_path / "one")
    workspace = opened(one)
    digest = workspace.objects.put(b"here" * 2000).digest
    workspace.close()
    two = project(tmp_path / "two", s3.url)
    opened(two).close()

    for folder, setting in [(one, s3.url + "/b"), (two, ""), (two, s3.url + "/other")]:
        project(folder, setting)
        with pytest.raises(Conflict, match="the objects of this workspace lie in") as raised:
            opened(folder)
        assert raised.value.hint

    workspace = opened(project(one))
    assert workspace.objects.get(digest) == b"here" * 2000
    workspace.close()


def test_a_workspace_may_be_kept_in_its_folder(s3: Place, tmp_path: Path) -> None:
    """As that of a reproduction is: its project's bucket is not its own."""
    folder = project(tmp_path / "one", s3.url)
    keep_in_folder(folder / ".mlwright")

    workspace = opened(folder)
    digest = workspace.objects.put(b"bytes").digest
    workspace.close()

    assert (folder / ".mlwright" / "objects" / digest[:2] / digest[2:]).exists()
    assert list(s3.bucket().keys("objects/")) == []
    assert workspace.objects_at == str(folder / ".mlwright" / "objects")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (f"s3://{KEY}:{SECRET}@bucket/prefix", "holds no credentials"),
        (f"s3://bucket/prefix?secret_access_key={SECRET}", "holds no credentials"),
        ("https://bucket/prefix", "https is no S3 address"),
        ("s3://Bucket_/prefix", "cannot be a bucket"),
        ("s3://bucket/../other", "no plain path"),
        ("s3://bucket/prefix?colour=red", "no setting `colour`"),
        ("s3://bucket/prefix?addressing=round", "addressing cannot be"),
        ("s3://bucket/prefix?endpoint=ftp://host", "no plain web address"),
        (f"s3://bucket/prefix?endpoint=https://{KEY}:{SECRET}@host", "no plain web address"),
    ],
)
def test_a_setting_that_is_no_bucket_is_said(tmp_path: Path, setting: str, message: str) -> None:
    """One message with a hint, exit code 2; a secret in it is not repeated."""
    with pytest.raises(Invalid, match=message) as raised:
        opened(project(tmp_path / "one", setting))

    assert raised.value.hint
    assert SECRET not in raised.value.render()
    assert KEY not in raised.value.render()


def test_without_the_library_it_says_what_to_install(tmp_path: Path) -> None:
    """obstore is an extra: who names a bucket without it is told how to get it."""
    project(tmp_path / "one", "s3://bucket/prefix")
    code = """
        import sys
        sys.modules["obstore"] = None
        from pathlib import Path
        from mlwright.kernel.settings import find_project
        from mlwright.workspace import open_workspace
        try:
            open_workspace(find_project(Path(sys.argv[1])))
        except Exception as error:
            print(error.render())
    """

    done = run_python(code, tmp_path / "one")

    assert "obstore is not installed" in done.stdout, done.stderr
    assert "hint: pip install 'mlwright[s3]'" in done.stdout


def test_nothing_of_s3_is_imported_without_a_bucket(tmp_path: Path) -> None:
    """Who keeps objects in the folder does not pay for the others."""
    project(tmp_path / "one")
    code = """
        import sys
        from pathlib import Path
        from mlwright.kernel.settings import find_project
        from mlwright.workspace import open_workspace
        open_workspace(find_project(Path(sys.argv[1]))).close()
        print([name for name in ("obstore", "mlwright.storage.s3", "httpx2") if name in sys.modules])
    """

    done = run_python(code, tmp_path / "one")

    assert done.stdout.strip() == "[]", done.stderr
