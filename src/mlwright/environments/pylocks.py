"""The pylock file (PEP 751): read, checked for what would not be the same elsewhere, and written."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time
from typing import Any

from mlwright.environments.declared import normal
from mlwright.environments.requirements import check_url
from mlwright.kernel.digest import Digest, composite
from mlwright.kernel.errors import Corrupt, Incompatible, Invalid

_KINDS = ("wheels", "sdist", "archive")
_KEPT_WHEEL = re.compile(r"wheels/b3-([0-9a-f]{64})/[A-Za-z0-9_.+!-]+\.whl")


def read_pylock(text: bytes, where: str) -> dict[str, Any]:
    """A pylock file.

    Raises:
        Corrupt: it is none.
        Incompatible: of a version that is not known here.
        Invalid: a package in it has no hash, comes from a path of this machine, or from an address with a
            password.
    """
    try:
        document = tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Corrupt(f"this is no lock: {error}", where=where) from error
    packages = document.get("packages")
    if not isinstance(packages, list) or not all(isinstance(each, dict) for each in packages):
        raise Corrupt("this is no pylock file: it has no list of packages", where=where)
    if not str(document.get("lock-version", "")).startswith("1."):
        raise Incompatible(
            f"the lock is of version {document.get('lock-version')!r}, and 1 is known here", where=where
        )
    for package in packages:
        _check(package, where)
    return document


def _check(package: Mapping[str, Any], where: str) -> None:
    name = package.get("name")
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", name):
        raise Corrupt(f"this is no pylock file: a package is called {name!r}", where=where)
    if "directory" in package:
        path = package["directory"].get("path", "")
        raise Invalid(
            f"`{name}` is a folder of this machine, {path}: it cannot be had elsewhere",
            where=where,
            hint="name its Git repository, or a wheel that was built of it",
        )
    for file in files_of(package):
        if "path" in file:
            if not _KEPT_WHEEL.fullmatch(str(file["path"])):
                raise Invalid(
                    f"`{name}` is asked for from a path of this machine, {file['path']}",
                    where=where,
                    hint="name its Git repository, or an address: https://",
                )
        elif "url" in file:
            check_url(str(file["url"]), name, where)
        if not file.get("hashes"):
            raise Invalid(f"the lock names a file of `{name}` without its hash", where=where)
    if "vcs" in package:
        check_url(f"git+{package['vcs'].get('url', '')}", name, where)


def check_python(document: Mapping[str, Any], python: str, where: str) -> None:
    """Refuse an interpreter that a pylock is not for.

    Raises:
        Incompatible: it is so.
    """
    wanted = str(document.get("requires-python", ""))
    simple = re.fullmatch(r">=(\d+)\.(\d+)", wanted)
    if simple and tuple(map(int, simple.groups())) <= tuple(map(int, python.split("."))):
        return  # as uv writes it; the library takes 20 ms to import
    from packaging.specifiers import SpecifierSet

    # A minor version, whichever patch of it: `>=3.12.1` is fit for 3.12.
    if not any(SpecifierSet(wanted).contains(f"{python}.{patch}") for patch in (0, 99)):
        raise Incompatible(
            f"the lock is for Python {wanted}, and the environment's is {python}",
            where=where,
            hint=f"run mlwright with Python {wanted}, or lock again: mlwright environments lock",
        )


def files_of(package: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The files that a package in a pylock may be installed from."""
    for kind in _KINDS:
        found = package.get(kind, ())
        yield from (found,) if isinstance(found, dict) else found


def files_digest(package: Mapping[str, Any]) -> Digest:
    """What a package in a pylock is installed from, whatever the addresses of its files are.

    Steps that import the package have it in their fingerprints.
    """
    hashes = sorted(
        f"{kind}:{value}" for file in files_of(package) for kind, value in file.get("hashes", {}).items()
    )
    source = (
        package.get("vcs")
        or package.get("directory")
        or package.get("archive", {}).get("subdirectory")
        or None
    )
    return composite("files", {"hashes": hashes, "source": source})


def of_indexes(document: Mapping[str, Any]) -> set[str]:
    """The packages in a pylock that come from a package index, in normalised names."""
    return {
        normal(package["name"])
        for package in document["packages"]
        if not {"vcs", "archive", "directory"} & package.keys()
        and not any("path" in file for file in files_of(package))
    }


def pins_of_indexes(text: bytes) -> dict[str, str]:
    """What a package index can give of a pylock, by name, as lines of a `requirements.txt`."""
    return {
        package["name"]: f"{package['name']}=={package['version']}"
        + (f" ; {package['marker']}" if "marker" in package else "")
        for package in tomllib.loads(text.decode()).get("packages", [])
        if "version" in package and of_indexes({"packages": [package]})
    }


def kept_wheels(text: bytes) -> dict[str, Digest]:
    """The wheels in a pylock that are objects of ours: path beside the lock, to the object's digest."""
    if b"wheels/b3-" not in text:
        return {}
    return {
        str(file["path"]): Digest(kept[1])
        for package in tomllib.loads(text.decode()).get("packages", [])
        for file in files_of(package)
        if (kept := _KEPT_WHEEL.fullmatch(str(file.get("path", ""))))
    }


def has_commits(text: bytes) -> bool:
    """Whether a package in a pylock is built from a commit of Git, which has no hash of a file."""
    return any("vcs" in package for package in tomllib.loads(text.decode()).get("packages", []))


def write_pylock(document: Mapping[str, Any]) -> bytes:
    """The file of a pylock: equal ones have equal bytes."""
    head = [f"{name} = {_value(value)}" for name, value in document.items() if name != "packages"]
    blocks = ["\n".join(head)]
    for package in document["packages"]:
        rows = [f"{name} = {_value(value)}" for name, value in package.items()]
        blocks.append("\n".join(["[[packages]]", *rows]))
    return ("\n\n".join(blocks) + "\n").encode()


def _value(value: Any) -> str:
    """A value as TOML writes it. Source: TOML 1.0; its strings are those of JSON, and DEL escaped too."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case datetime() | date() | time():
            return value.isoformat()
        case int() | float():
            return repr(value)
        case list():
            return f"[{', '.join(map(_value, value))}]"
        case dict():
            return f"{{ {', '.join(f'{_key(name)} = {_value(each)}' for name, each in value.items())} }}"
    raise TypeError(type(value).__name__)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _value(name)
