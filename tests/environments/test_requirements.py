"""Lines of a `requirements.txt`: which are taken, and the one message for each that is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlwright.environments.credentials import has_login
from mlwright.environments.requirements import read_requirements
from mlwright.kernel.errors import Invalid, MlwrightError, NotFound
from tests.conftest import write

HASH = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64


def read(root: Path, text: str) -> list[tuple[str, str, tuple[str, ...]]]:
    """The requirements in a text."""
    file = write(root, {"requirements.txt": ""}) / "requirements.txt"
    file.write_text(text)
    return [(each.name, each.text, each.hashes) for each in read_requirements(file, root)]


def test_requirements_are_read_as_pip_reads_them(tmp_path: Path) -> None:
    """Comments, markers, extras, continued lines, hashes and addresses are understood."""
    text = f"""\
# a remark
one  # another
Two_Three[more]>=1,<2 ; python_version >= "3.8"

four==1.0 \\
    --hash={HASH} \\
    --hash {OTHER}   # locked
five @ https://example.org/five-1.0.tar.gz#egg=five
six @ git+https://git@example.org/six@abc
"""

    found = read(tmp_path, text)

    assert found == [
        ("one", "one", ()),
        ("two-three", 'Two_Three[more]>=1,<2 ; python_version >= "3.8"', ()),
        ("four", "four==1.0", (HASH, OTHER)),
        ("five", "five @ https://example.org/five-1.0.tar.gz#egg=five", ()),
        ("six", "six @ git+https://git@example.org/six@abc", ()),
    ]


def test_other_files_of_the_project_are_read_where_they_are_named(tmp_path: Path) -> None:
    """`-r` takes in a file beside the one that names it."""
    write(tmp_path, {"requirements/base.txt": "-r more.txt\none\n", "requirements/more.txt": "two"})

    found = read(tmp_path, "-r requirements/base.txt\n--requirement=requirements/more.txt\nthree")

    assert [name for name, _, _ in found] == ["two", "one", "two", "three"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--index-url http://127.0.0.1:9/simple", "is an option"),
        ("--extra-index-url=http://127.0.0.1:9/simple", "is an option"),
        ("-e .", "is an option"),
        ("-c constraints.txt", "is an option"),
        ("one --global-option=x", "is an option"),
        ("one; rm -rf /", "is not a requirement"),
        ("one && touch pwned", "is not a requirement"),
        ("$(touch pwned)", "is not a requirement"),
        ("`touch pwned`", "is not a requirement"),
        ("../one.whl", "is not a requirement"),
        ("./one", "is not a requirement"),
        ("one @ https://${HOST}/one.whl", "holds a variable or a piece of shell"),
        ("one @ file:///tmp/one.whl", "is asked for from a path of this machine"),
        ("one @ ../one.whl", "is asked for from a path of this machine"),
    ],
)
def test_a_line_that_is_no_requirement_is_refused(line: str, message: str, tmp_path: Path) -> None:
    """One message says what the line is, and where it stands."""
    with pytest.raises(Invalid, match=message) as refusal:
        read(tmp_path, f"two \\\n  >=1\n{line}\n")

    assert "\n" not in refusal.value.message
    assert refusal.value.where == f"{tmp_path / 'requirements.txt'}:3"


@pytest.mark.parametrize(
    "line",
    [
        "one @ https://me:hunter2@example.org/one.whl",
        "one @ git+https://hunter2@example.org/one",
        "--index-url https://me:hunter2@example.org/simple",
        "one && curl https://me:hunter2@example.org",
        "-i https://example.org/hunter2/simple",
        "one --config-settings=token=hunter2",
        "https://example.org/hunter2/simple",
        "one && curl https://example.org/hunter2/one.whl",
        "one @ https://example.org/${X}/hunter2/one.whl",
        "one @@ //example.org/hunter2/one.whl",
        "https:/example.org/hunter2/simple",
        "https://me:hunter2/x@example.org/simple",
    ],
)
def test_a_password_is_refused_and_not_repeated(line: str, tmp_path: Path) -> None:
    """What would be recorded with a secret is refused, in a message without it."""
    with pytest.raises(Invalid) as refusal:
        read(tmp_path, line)

    assert "hunter2" not in refusal.value.render()


def test_a_file_outside_the_project_is_refused(tmp_path: Path) -> None:
    """`-r` leads to no other place of the machine, by no path and through no link."""
    write(tmp_path, {"other.txt": "one", "project/keep": ""})
    (tmp_path / "project" / "link.txt").symlink_to(tmp_path / "other.txt")

    for line in ("-r ../other.txt", f"-r {tmp_path / 'other.txt'}", "-r link.txt"):
        with pytest.raises(Invalid, match="lies outside the project"):
            read(tmp_path / "project", line)


def test_a_file_that_names_itself_or_is_not_there_is_refused(tmp_path: Path) -> None:
    """A circle ends, and what is missing is named."""
    write(tmp_path, {"a.txt": "-r requirements.txt"})

    refusals: list[MlwrightError] = []
    for line in ("-r a.txt", "-r none.txt"):
        with pytest.raises((Invalid, NotFound)) as refusal:
            read(tmp_path, line)
        refusals.append(refusal.value)

    assert "names itself" in refusals[0].message
    assert "there is no file none.txt" in refusals[1].message


def test_a_name_alone_is_no_password_by_ssh() -> None:
    """Nor is `git@`, which is everybody's; by HTTP a name may be a token."""
    assert not has_login("git+ssh://git@example.org/one")
    assert not has_login("git+ssh://me@example.org/one")
    assert not has_login("git+https://git@example.org/one")
    assert not has_login("https://example.org/one@1")
    assert has_login("https://token@example.org/one")
    assert has_login("git+https://git:token@example.org/one")
