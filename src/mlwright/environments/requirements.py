"""The lines of a `requirements.txt`: read, checked, put into one list; what is no requirement is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

from mlwright.environments.credentials import has_login, shown
from mlwright.environments.declared import normal
from mlwright.kernel.errors import Invalid, NotFound

_COMMENT = re.compile(r"(^|\s+)#.*$")
_HASH = re.compile(r"\s--hash[=\s]\s*([a-z0-9]+:[0-9A-Fa-f]+)(?=\s|$)")
_INCLUDE = re.compile(r"(?:-r|--requirement)(?:\s*=\s*|\s+|(?<=-r))(?P<file>\S.*)")
_OPTION = re.compile(r"(?:^|\s)(--[A-Za-z-]*)|^(-[A-Za-z]?)")
_SCHEMES = {"http", "https", "git+http", "git+https", "git+ssh", "git+file"}


class RequirementLine(Struct, frozen=True):
    """One requirement.

    Args:
        text: as PEP 508 has it: `pandas>=2.2; python_version >= "3.11"`.
        name: of the package, normalised.
        hashes: those that its files may have, as `sha256:...`; none for any.
    """

    text: str
    name: str
    hashes: tuple[str, ...] = ()


def read_requirements(file: Path, root: Path, *, check: bool = True) -> tuple[RequirementLine, ...]:
    """The requirements in a file, and in those that it names with `-r`.

    Args:
        root: the folder that all of them must lie in.
        check: False to have the lines as they are, without names, to compare them with those of a lock: what
            reads them takes 30 ms to import.

    Raises:
        NotFound: there is no such file.
        Invalid: a line is an option or a piece of shell, holds a password, or leads out of the project.
    """
    return tuple(_read(line, where, check) for line, where in _file(file, root.resolve(), ()))


def parse_requirements(
    lines: Sequence[str], file: Path, root: Path, *, check: bool = True
) -> tuple[RequirementLine, ...]:
    """Lines that stand in another kind of file, read as those of a `requirements.txt`.

    Raises:
        NotFound, Invalid: as `read_requirements`.
    """
    found = _lines("\n".join(lines), file, root.resolve(), (file.resolve(),))
    return tuple(_read(line, where, check) for line, where in found)


def _file(file: Path, root: Path, above: tuple[Path, ...]) -> Iterator[tuple[str, str]]:
    path = file.resolve()
    if not path.is_relative_to(root):
        raise Invalid(
            f"{file.name} lies outside the project",
            where=str(above[-1] if above else root),
            hint="copy it into the project",
        )
    if path in above:
        raise Invalid(f"{file.name} names itself with -r", where=str(above[-1]))
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {file.name}", where=str(above[-1] if above else root)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{file.name} cannot be read as text", where=str(path)) from error
    yield from _lines(text, path, root, (*above, path))


def _lines(text: str, file: Path, root: Path, above: tuple[Path, ...]) -> Iterator[tuple[str, str]]:
    """Source of the grammar: pip's documentation, Requirements File Format."""
    number = 0
    for joined in re.sub(r"\\\r?\n", "\\\0", text).splitlines():
        number += 1
        where = f"{file}:{number}"
        number += joined.count("\0")
        line = _COMMENT.sub("", joined.replace("\\\0", " ")).strip()
        if not line:
            continue
        if include := _INCLUDE.fullmatch(line):
            yield from _file(file.parent / include["file"], root, above)
        else:
            yield line, where


def _read(line: str, where: str, check: bool) -> RequirementLine:
    hashes = tuple(_HASH.findall(line))
    text = _HASH.sub("", line).strip()
    return RequirementLine(text, _checked(line, text, where) if check else "", hashes)


def _checked(line: str, text: str, where: str) -> str:
    """The name of the package that a line asks for, if it is a requirement."""
    from packaging.requirements import InvalidRequirement, Requirement

    # What stands behind an option may be a secret of any form: an index's address, a proxy, a token.
    if option := _OPTION.search(text):
        raise Invalid(
            f"`{option[1] or option[2]}` is an option, which is not taken from a file of requirements",
            where=where,
            hint="an index is named in pyproject.toml, [[tool.uv.index]]; -r FILE and --hash may stay",
        )
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        raise Invalid(
            f"{shown(line)} is not a requirement",
            where=where,
            hint="write NAME, or NAME with versions: pandas>=2.2",
        ) from error
    if re.search(r"[$`]", text):
        raise Invalid(f"{shown(line)} holds a variable or a piece of shell", where=where)
    if requirement.url is not None:
        check_url(requirement.url, requirement.name, where)
    return normal(requirement.name)


def check_url(url: str, name: str, where: str) -> None:
    """Refuse the address of a package that only this machine has, or that holds a password.

    Raises:
        Invalid: it is so; the message does not show the address.
    """
    if urlsplit(url).scheme not in _SCHEMES:
        raise Invalid(
            f"`{name}` is asked for from a path of this machine",
            where=where,
            hint="declare it in pyproject.toml, [tool.uv.sources], or name an address: https:// or git+https://",
        )
    if has_login(url):
        raise Invalid(
            f"the address of `{name}` holds a user's name or password, and would be recorded with it",
            where=where,
            hint="take it out; uv finds it in ~/.netrc, in UV_INDEX_NAME_PASSWORD or asks git",
        )
