"""`[tool.mlwright]`: what is found, and the message for each thing that is wrong in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mlwright.kernel.errors import Invalid, NotFound, Unavailable
from mlwright.kernel.settings import Settings, find_project


def project(folder: Path, text: str) -> Path:
    """A folder with a `pyproject.toml`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(text)
    return folder


def test_a_project_is_found_from_below(tmp_path: Path) -> None:
    """The nearest folder above with the section counts; files without it are passed over."""
    root = project(tmp_path / "root", '[project]\nname = "diagnosis"\n[tool.mlwright]\nworkers = 3\n')
    inner = project(root / "packages" / "other", '[project]\nname = "other"\n')

    found = find_project(inner)

    assert (found.root, found.name) == (root, "diagnosis")
    assert found.settings == Settings(workers=3)
    assert found.local == root / ".mlwright"


def test_everything_has_a_default(tmp_path: Path) -> None:
    """An empty section is a project, named as its folder."""
    found = find_project(project(tmp_path / "small", "[tool.mlwright]\n"))

    assert found.name == "small"
    assert found.settings == Settings()


def test_every_setting_is_read(tmp_path: Path) -> None:
    """Each field of Settings can be written in the file."""
    text = """
        [tool.mlwright]
        pipelines = "flows"
        workers = 2
        runs_at_once = 3
        executor = "inline"
        ignore = ["*.csv", "/data"]
        database = "postgresql://host/records"
        objects = "s3://bucket/prefix"
        remotes = { origin = "s3://bucket/other" }
        environment = "requirements.txt"
        environments = { old = "old.yml" }
        openlineage = { transport = "file" }
        url = "https://mlwright.example.com"
        mlflow_without_token = false
        private_imports = true
        record_predictions = 3
        record_values = ["age"]
        serve = { timeout_ms = 500, batch_wait_ms = 0.5 }
        login = { issuer = "https://id.example.com" }
    """

    settings = find_project(project(tmp_path, text)).settings

    assert settings == Settings(
        pipelines="flows",
        workers=2,
        runs_at_once=3,
        executor="inline",
        ignore=("*.csv", "/data"),
        database="postgresql://host/records",
        objects="s3://bucket/prefix",
        remotes={"origin": "s3://bucket/other"},
        environment="requirements.txt",
        environments={"old": "old.yml"},
        openlineage={"transport": "file"},
        url="https://mlwright.example.com",
        mlflow_without_token=False,
        private_imports=True,
        record_predictions=3,
        record_values=("age",),
        serve={"timeout_ms": 500, "batch_wait_ms": 0.5},
        login={"issuer": "https://id.example.com"},
    )
    assert not set(Settings.__struct_fields__) - set(re.findall(r"(\w+) = ", text))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[tool.mlwright]\nworker = 2\n", "unknown setting `worker`"),
        ('[tool.mlwright]\nworkers = "2"\n', "a setting has the wrong type: .*workers"),
        ("[tool.mlwright]\nworkers = 1.5\n", "a setting has the wrong type: .*workers"),
        ("[tool.mlwright]\nworkers = -1\n", "`workers` cannot be -1"),
        ('[tool.mlwright]\nurl = "example.com"\n', "`url` cannot be 'example.com'"),
        ("[tool.mlwright]\nignore = [1]\n", "a setting has the wrong type: .*ignore"),
        ('[tool.mlwright.serve]\ntimeout_ms = "1"\n', "a setting has the wrong type: .*serve"),
        ("[tool.mlwright\n", "pyproject.toml is not valid TOML: .*line 1"),
        ("tool = 1\n", "`tool` is not a table"),
        ("[tool]\nmlwright = 1\n", "`mlwright` is not a table"),
        ('project = "x"\n[tool.mlwright]\n', "`project` is not a table"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    """One message that names the setting and the file, never a traceback."""
    folder = project(tmp_path, text)

    with pytest.raises(Invalid, match=said) as raised:
        find_project(folder)

    assert str(folder / "pyproject.toml") in (raised.value.where or "")
    assert raised.value.exit_code == 2


def test_an_unknown_setting_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    """The hint lists every setting there is."""
    with pytest.raises(Invalid) as raised:
        find_project(project(tmp_path, "[tool.mlwright]\nworker = 2\n"))

    assert raised.value.hint == f"known settings: {', '.join(Settings.__struct_fields__)}"


def test_a_file_that_is_not_utf8_is_said(tmp_path: Path) -> None:
    """TOML is UTF-8."""
    (tmp_path / "pyproject.toml").write_bytes(b'[tool.mlwright]\npipelines = "\xff"\n')

    with pytest.raises(Invalid, match="not valid TOML"):
        find_project(tmp_path)


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    """A folder in the file's place is named with the system's words."""
    (tmp_path / "pyproject.toml").mkdir()

    with pytest.raises(Unavailable, match="cannot be read: Is a directory"):
        find_project(tmp_path)


def test_no_project_is_said_with_what_to_do(tmp_path: Path) -> None:
    """Neither here nor above: where it was looked for, and how to make one."""
    with pytest.raises(NotFound, match="this is not a mlwright project") as raised:
        find_project(tmp_path)

    assert raised.value.where == str(tmp_path)
    assert "mlwright init" in (raised.value.hint or "")
    assert raised.value.exit_code == 3
