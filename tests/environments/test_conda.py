"""Conda environments: what pip can install of them, and what is told of the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlwright.environments.conda import CondaFile, read_conda
from mlwright.environments.locks import current_python
from mlwright.kernel.errors import Invalid, NotFound
from tests.environments.conftest import Index
from tests.environments.test_build import Make

CONDA = """
name: analysis
channels: [conda-forge]
dependencies:
  - python=3.12
  - conda-forge::numpy=2.1
  - scipy >=1.11,<2
  - pandas==2.2.3
  - xarray 2024.1.*
  - joblib=1.4.2=pyhd8ed1ab_0
  - pytorch
  - cudatoolkit=11.8
  - libblas=3.9.0=16_openblas
  - _libgcc_mutex=0.1
  - pip
  - pip:
      - one>=1  # from pip
"""


def read(root: Path, text: str) -> CondaFile:
    """What a conda environment of this text asks for."""
    (root / "environment.yml").write_text(text)
    return read_conda(root / "environment.yml", root)


def test_python_packages_are_taken_and_the_rest_is_named(tmp_path: Path) -> None:
    """Versions become those of pip; what is no Python package is left out by name."""
    found = read(tmp_path, CONDA)

    assert [each.text for each in found.requirements] == [
        "numpy==2.1.*",
        "scipy>=1.11,<2",
        "pandas==2.2.3",
        "xarray==2024.1.*",
        "joblib==1.4.2",
        "torch",
        "one>=1",
    ]
    assert found.python == "3.12"
    assert found.taken == ("joblib", "numpy", "pandas", "pytorch", "scipy", "xarray")
    assert found.left_out == ("_libgcc_mutex", "cudatoolkit", "libblas", "pip")


def test_python_packages_called_like_others_are_taken(tmp_path: Path) -> None:
    """`lib...`, `qt...`, `nvidia-...` and `cuda...` are no Python packages, but for these."""
    names = ["cuda-python", "libcst", "libpysal", "librosa", "nvidia-ml-py", "qtpy"]
    others = ["cuda-nvcc", "libcurl", "nvidia-cuda", "qt-main"]

    found = read(tmp_path, f"dependencies: {[*names, *others]}")

    assert found.taken == tuple(names)
    assert found.left_out == tuple(others)


@pytest.mark.parametrize(
    ("spec", "python"),
    [("python=3.12", "3.12"), ("python==3.13.1", "3.13"), ("python>=3.11", ""), ("python", "")],
)
def test_the_interpreter_is_the_one_that_is_named(spec: str, python: str, tmp_path: Path) -> None:
    """A minor version is taken from `python=3.12`; a range that ours is in asks for no other."""
    assert read(tmp_path, f"dependencies: ['{spec}']").python == python


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: x", "has no list of `dependencies`"),
        ("- a", "has no list of `dependencies`"),
        ("dependencies: [1]", "has no list of `dependencies`"),
        ("dependencies: [", "cannot be read"),
        ("dependencies: ['numpy 1.1|1.2']", "is not understood as a conda package"),
        ("dependencies: ['python<3']", "names no other"),
        ("dependencies: [{pip: one}]", "is not a list for pip"),
        ("dependencies: [{npm: [one]}]", "is not a list for pip"),
        ("dependencies: [{pip: ['-e .']}]", "is an option"),
        ("dependencies: [{pip: ['one && rm']}]", "is not a requirement"),
    ],
)
def test_what_is_no_conda_environment_is_refused(text: str, message: str, tmp_path: Path) -> None:
    """One message says what is wrong, and in which file."""
    with pytest.raises(Invalid, match=message) as refusal:
        read(tmp_path, text)

    assert str(tmp_path / "environment.yml") in (refusal.value.where or "")


@pytest.mark.parametrize(
    "entry",
    [
        "{pip: '--index-url https://me:hunter2@example.org/simple'}",
        "{pip: ['-i https://example.org/hunter2/simple']}",
        "'https://conda.example.org/t/hunter2/mine::numpy'",
        "'numpy https://conda.example.org/t/hunter2/numpy.conda'",
    ],
)
def test_a_secret_in_an_entry_is_not_repeated(entry: str, tmp_path: Path) -> None:
    """What is refused is told without its value."""
    with pytest.raises(Invalid) as refusal:
        read(tmp_path, f"dependencies: [{entry}]")

    assert "hunter2" not in refusal.value.render()


def test_a_file_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    """The name that was given is repeated."""
    with pytest.raises(NotFound, match=r"environment\.yml"):
        read_conda(tmp_path / "environment.yml", tmp_path)


def test_a_project_with_a_conda_environment_is_locked_and_built(make: Make, index: Index) -> None:
    """What the index has is installed; what it does not know is left out, and the lock says so."""
    small = make(lock=False)
    text = f"dependencies: [python={current_python()}, two=1, strange-tool, cudnn, {{pip: [one]}}]"
    small.bring(index, {"environment.yml": text})

    locked = small.environments.lock_file("")
    again = small.environments.lock_file("", check=True)

    assert small.versions() == {"one": "1.0", "two": "1.0"}
    assert (locked.taken, locked.left_out) == (("strange-tool", "two"), ("cudnn", "strange-tool"))
    assert (again.changed, again.left_out) == (False, locked.left_out)
    assert "# left out: cudnn, strange-tool" in (small.root / "pylock.toml").read_text()


def test_a_missing_package_of_the_pip_section_is_an_error(make: Make, index: Index) -> None:
    """Only conda's own packages may have no counterpart."""
    small = make(lock=False)
    small.bring(index, {"environment.yml": "dependencies: [two, {pip: [strange-tool]}]"})

    with pytest.raises(Exception, match="strange-tool"):
        small.environments.lock()

    assert not (small.root / "pylock.toml").exists()
