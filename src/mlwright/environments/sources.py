"""Files that say what an environment needs: requirements, conda's, a pylock, the head of a script."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from mlwright.environments.conda import read_conda
from mlwright.environments.declared import check_requirements, normal, pyproject_of
from mlwright.environments.declared import names as declared_names
from mlwright.environments.listing import OWN
from mlwright.environments.requirements import RequirementLine, read_requirements
from mlwright.kernel.errors import Invalid, NotFound, nearest
from mlwright.kernel.settings import Settings, find_project

_OWN = ("requirements.txt", "environment.yml", "environment.yaml")
_SCRIPT = re.compile(r"(?m)^# /// script$\s(?P<lines>(^#(| .*)$\s)+)^# ///$")


class Source(Struct, frozen=True):
    """A file of the project that says what an environment needs.

    Args:
        name: of the environment; empty for the project's own; of a script its path in the project.
        kind: what kind of file.
        file: where it is.
        lock: what is locked of it, beside it.
    """

    name: str
    kind: Literal["requirements", "conda", "pylock", "script"]
    file: Path
    lock: Path

    @property
    def command(self) -> str:
        """What locks it."""
        return f"mlwright environments lock {self.name}".rstrip()


class Wanted(Struct, frozen=True):
    """What a file asks for.

    Args:
        python: minor version of the interpreter; empty for any.
        taken, left_out: packages of conda (`conda.CondaFile`).
    """

    requirements: tuple[RequirementLine, ...]
    python: str = ""
    taken: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def source_of(root: Path, name: str = "") -> Source | None:
    """The file of one of the project's environments; None if `[project]` and `uv.lock` say it.

    Args:
        name: of the environment; empty for the project's own.

    Raises:
        NotFound: the file is not there.
        Invalid: it is none of those that are read, lies outside the project, or there are several.
    """
    settings = find_project(root).settings
    if not name:
        return _own(root, settings)
    named = {normal(each): file for each, file in settings.environments.items()}
    if normal(name) in named:
        if normal(name) in map(normal, declared_names(root)):
            raise Invalid(
                f"the environment `{name}` is both a file and a dependency group or an extra",
                where=str(root / "pyproject.toml"),
                hint="rename one of them",
            )
        return _source(root, settings, named[normal(name)], name, f"[tool.mlwright.environments] {name}")
    if not _is_uvs(root) and _own(root, settings) is not None:
        raise Invalid(
            f"there is no environment `{name}`",
            where=str(root / "pyproject.toml"),
            hint=nearest(name, list(settings.environments))
            or f'name its file: [tool.mlwright.environments] {name} = "requirements-{name}.txt"',
        )
    return None


def meant(root: Path, name: str) -> str:
    """The name of an environment as the project has it: `default` is its own, which has none, unless it gave
    that name to another."""
    return "" if name == OWN and OWN not in map(normal, names(root)) else name


def names(root: Path) -> list[str]:
    """The names of all environments that the project declares, by groups, extras and files."""
    return sorted({*declared_names(root), *find_project(root).settings.environments})


def _is_uvs(root: Path) -> bool:
    """Whether `pyproject.toml` itself says what is needed, for uv to lock."""
    return not {"project", "dependency-groups"}.isdisjoint(pyproject_of(root))


def _own(root: Path, settings: Settings) -> Source | None:
    if settings.environment:
        return _source(root, settings, settings.environment, "", "[tool.mlwright] environment")
    found = [each for each in _OWN if (root / each).is_file()]
    if _is_uvs(root):
        if found and "project" not in pyproject_of(root):
            raise Invalid(
                f"[dependency-groups] and {found[0]} both say what the project needs",
                where=str(root / "pyproject.toml"),
                hint=f'name the file, and the groups stand alone: [tool.mlwright] environment = "{found[0]}"',
            )
        return None
    if len(found) > 1:
        raise Invalid(
            f"{' and '.join(found)} both say what the project needs",
            where=str(root),
            hint=f'name one of them: [tool.mlwright] environment = "{found[0]}"',
        )
    if not found and (root / "pylock.toml").is_file():
        found = ["pylock.toml"]
    return _source(root, settings, found[0], "", str(root)) if found else None


def _source(root: Path, settings: Settings, text: str, name: str, where: str) -> Source:
    file = (root / text).resolve()
    if not file.is_relative_to(root.resolve()):
        raise Invalid(f"{text} lies outside the project", where=where, hint="copy it into the project")
    if not file.is_file():
        raise NotFound(f"there is no file {text}", where=where, hint="a path within the project")
    lock = root / (f"pylock.{normal(name)}.toml" if name else "pylock.toml")
    if re.fullmatch(r"pylock(\.[^.]+)?\.toml", file.name):
        return Source(name, "pylock", file, file)
    given = [each for each in [settings.environment, *settings.environments.values()] if each]
    if lock.resolve() in [(root / each).resolve() for each in given]:
        raise Invalid(
            f"{lock.name} would be the lock of {text}, and is the file of another environment",
            where=str(root / "pyproject.toml"),
            hint="give that file another name: pylock.NAME.toml",
        )
    if file.suffix in {".yml", ".yaml"}:
        return Source(name, "conda", file, lock)
    if file.suffix in {".txt", ".in"}:
        return Source(name, "requirements", file, lock)
    raise Invalid(
        f"{text} is no file that an environment is read from",
        where=where,
        hint="requirements in .txt, a conda environment in .yml, or a pylock.toml",
    )


def script_source(root: Path, path: str) -> Source | None:
    """A script that says itself what it needs (PEP 723); None if it does not.

    Raises:
        Invalid: what it says cannot be read, or asks for what is no requirement.
    """
    file = root / path
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None  # whoever runs it says why it cannot be read
    if script_metadata(text, path) is None:
        return None
    return Source(path, "script", file, file.with_name(f"{file.name}.lock"))


def script_metadata(text: str, path: str) -> dict[str, Any] | None:
    """What a script says of itself in comments.

    Raises:
        Invalid: it is no TOML, stands there twice, or asks for what is no requirement.

    Source: PEP 723.
    """
    found = list(_SCRIPT.finditer(text.replace("\r\n", "\n")))
    if not found:
        return None
    if len(found) > 1:
        raise Invalid("there are two blocks `# /// script`", where=path)
    lines = found[0]["lines"].splitlines()
    try:
        metadata = tomllib.loads("\n".join(line.removeprefix("#").removeprefix(" ") for line in lines))
    except tomllib.TOMLDecodeError as error:
        raise Invalid(f"the block `# /// script` is not TOML: {error}", where=path) from error
    wanted = metadata.get("dependencies", [])
    if not isinstance(wanted, list) or not all(isinstance(each, str) for each in wanted):
        raise Invalid("`dependencies` is no list of requirements", where=path)
    check_requirements(wanted, Path(path))
    return metadata


def wanted(source: Source, root: Path, *, check: bool = True) -> Wanted:
    """What a file of requirements, or of conda, asks for.

    Args:
        check: as for `read_requirements`.

    Raises:
        NotFound, Invalid: as those that read it say.
    """
    if source.kind == "conda":
        found = read_conda(source.file, root, check=check)
        return Wanted(found.requirements, found.python, found.taken, found.left_out)
    return Wanted(read_requirements(source.file, root, check=check))
