"""Locks of the files that say what an environment needs: a pylock beside each, and whether it still fits."""

from __future__ import annotations

import re
import tempfile
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from msgspec import Struct

from mlwright.environments.conda import python_name
from mlwright.environments.interpreters import interpreter, minor_for, new_enough
from mlwright.environments.locks import current_python
from mlwright.environments.pylocks import files_of, read_pylock, write_pylock
from mlwright.environments.requirements import RequirementLine
from mlwright.environments.sources import Source, Wanted, script_metadata, wanted
from mlwright.environments.uv import Uv
from mlwright.environments.yanked import newly_yanked, refuse_yanked
from mlwright.kernel.digest import composite, digest_of
from mlwright.kernel.errors import Invalid, NotFound, Unavailable
from mlwright.kernel.files import content_of, replace_own, write_whole
from mlwright.kernel.plan import Change

_HEAD = re.compile(rb"(?:# .*\n)+")
_INPUTS = re.compile(rb"(?m)^# inputs b3:([0-9a-f]{64})$")
_LEFT_OUT = re.compile(rb"(?m)^# left out: (.*)$")
_UNKNOWN = re.compile(r"Because ([A-Za-z0-9._-]+) was not found in the package registry")


class Locked(Struct, frozen=True):
    """What locking a file did, or would do.

    Args:
        file: the lock.
        source: what it is made of.
        changed: whether it was, or would be, written.
        taken: conda packages for which the Python package of that name is taken.
        left_out: conda packages that are no Python packages, or that the package index does not know.
    """

    file: Path
    source: Path
    changed: bool
    taken: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def changes(self) -> tuple[Change, ...]:
        """What is to be shown of it."""
        why = "from the dependencies" if self.source.name == "pyproject.toml" else f"from {self.source.name}"
        change = (
            Change("write", self.file.name, why)
            if self.changed
            else Change("keep", self.file.name, f"it fits {self.source.name}")
        )
        # A conda package and its namesake need not be the same thing: who locks them sees which were taken.
        taken = [
            Change("add", name, f"of conda: {python_name(name)} of the package index")
            for name in self.taken
            if name not in self.left_out
        ]
        left_out = [Change("skip", name, "of conda: no Python package") for name in self.left_out]
        return (change, *taken, *left_out)


class SourceLocks(Struct, frozen=True):
    """Locks of files.

    Args:
        root: the project's folder.
        cache: where exports are kept, by what they were made of.
    """

    uv: Uv
    root: Path
    cache: Path

    def lock(self, source: Source, *, check: bool = False, allow_yanked: bool = False) -> Locked:
        """Resolve what a file asks for into its lock, or only look whether that is needed.

        Raises:
            Invalid: the file asks for what is no requirement, for files that the index does not have, or for
                yanked versions, and that is not allowed.
            Incompatible: there is no interpreter that it asks for.
            Unavailable: uv cannot resolve it; its own words follow.
        """
        if source.kind == "pylock":
            return Locked(source.lock, source.file, False)
        before = content_of(source.lock)
        if source.kind == "script":
            if check:
                return Locked(source.lock, source.file, before is None or not self._script_fits(source))
            what = f"what {source.file.name} needs cannot be locked"
            if not allow_yanked:
                told = self._uv_for_script(source, "lock", "--dry-run", what=what).stderr
                refuse_yanked(newly_yanked(told, _versions(before)))
            self._uv_for_script(source, "lock", what=what)
            return Locked(source.lock, source.file, content_of(source.lock) != before)
        asked = wanted(source, self.root)
        if check:
            left_out = _left_out(before) or asked.left_out
            changed = before is None or _inputs(before) != _named(asked)
            return Locked(source.lock, source.file, changed, asked.taken, left_out)
        resolved, unknown, told = self._resolve(asked, before, source.file)
        if not allow_yanked:
            refuse_yanked(newly_yanked(told, _versions(before)))
        left_out = tuple(sorted({*asked.left_out, *unknown}))
        text = _head(source, asked, left_out) + resolved
        if text != before:
            replace_own(source.lock, text)
        return Locked(source.lock, source.file, text != before, asked.taken, left_out)

    def text(self, source: Source) -> tuple[bytes, str]:
        """The pylock of a file, without what stands above it; and the minor version of its interpreter.

        Raises:
            NotFound: it is not locked.
            Unavailable: its lock does not fit it any more.
            Invalid, Incompatible: as `lock`.
        """
        where, found = str(source.file), content_of(source.lock)
        if found is None:
            raise NotFound(
                f"what {source.file.name} needs is not locked: there is no {source.lock.name}",
                where=where,
                hint=source.command,
            )
        if source.kind == "script":
            return self._exported(source, found)
        if source.kind == "pylock":
            return without_head(found), current_python()
        asked = wanted(source, self.root, check=False)  # what is locked was checked
        if _inputs(found) != _named(asked):
            raise Unavailable(
                f"{source.lock.name} does not fit {source.file.name} any more",
                where=where,
                hint=source.command,
            )
        return without_head(found), new_enough(asked.python or current_python(), where)

    def _resolve(self, asked: Wanted, before: bytes | None, file: Path) -> tuple[bytes, set[str], str]:
        """The pylock of requirements, those packages of conda that the index does not know, and uv's words.

        What is locked already keeps its versions, as far as it may.
        """
        python = new_enough(asked.python or current_python(), str(file))
        lines, optional, unknown = list(asked.requirements), set(asked.taken), set[str]()
        with tempfile.TemporaryDirectory() as folder:
            given, target = Path(folder) / "requirements.in", Path(folder) / "pylock.toml"
            if before is not None:
                target.write_bytes(without_head(before))
            while True:
                given.write_text("\n".join(each.text for each in lines))
                done = self.uv.run(
                    *["pip", "compile", "--universal", "--generate-hashes", "--no-header"],
                    *["--format", "pylock.toml", "--python-version", python],
                    *["-o", str(target), str(given)],
                    what=f"what {file.name} needs cannot be locked",
                    check=not optional,
                )
                if done.returncode == 0:
                    return with_hashes(target.read_bytes(), lines, file), unknown, done.stderr
                missing = _UNKNOWN.search(" ".join(done.stderr.split()))
                absent = {each.name for each in lines if missing and each.name == missing[1]}
                if not absent or not absent & {each.name for each in lines if _is_conda(each, asked)}:
                    optional = set()  # once more, for uv's own words
                    continue
                unknown |= absent
                lines = [each for each in lines if each.name not in absent]

    def _script_fits(self, source: Source) -> bool:
        return self._uv_for_script(source, "lock", "--check").returncode == 0

    def _uv_for_script(self, source: Source, verb: str, *more: str, what: str = "") -> CompletedProcess[str]:
        """Runs uv on a script; a failure is an error if `what` says what could not be done."""
        python = interpreter(self.uv, self._script_python(source))
        arguments = [verb, "--script", str(source.file), "--python", python, *more]
        return self.uv.run(*arguments, what=what, check=bool(what))

    def _script_python(self, source: Source) -> str:
        text = source.file.read_text(encoding="utf-8")
        metadata = script_metadata(text, str(source.file)) or {}
        return minor_for(self.uv, str(metadata.get("requires-python", "")), str(source.file))

    def _exported(self, source: Source, locked: bytes) -> tuple[bytes, str]:
        python = self._script_python(source)
        metadata = script_metadata(source.file.read_text(encoding="utf-8"), str(source.file))
        key = composite("script", {"metadata": repr(metadata), "lock": digest_of(locked)})
        exported = self.cache / f"{key}.toml"
        if not exported.exists():
            if not self._script_fits(source):
                raise Unavailable(
                    f"{source.lock.name} does not fit {source.file.name} any more",
                    where=str(source.file),
                    hint=source.command,
                )
            done = self.uv.run(
                *["export", "--quiet", "--frozen", "--no-header", "--format", "pylock.toml"],
                *["--script", str(source.file), "--python", interpreter(self.uv, python)],
                what="the lock cannot be read",
            )
            write_whole(exported, done.stdout.encode())
        return exported.read_bytes(), python


def without_head(text: bytes) -> bytes:
    """A lock without the comments above it: they say where it came from, and are not part of it."""
    head = _HEAD.match(text)
    return text[head.end() :] if head else text


def with_hashes(text: bytes, lines: Iterable[RequirementLine], file: Path) -> bytes:
    """A pylock in which a package that is asked for with hashes has only files with one of them.

    Raises:
        Invalid: no file of it has.
    """
    allowed: dict[str, set[str]] = {}
    for line in lines:
        if line.hashes:
            allowed.setdefault(line.name, set()).update(each.lower() for each in line.hashes)
    if not allowed:
        return text
    document = read_pylock(text, str(file))
    packages = [
        _narrowed(each, allowed[each["name"]], file) if each["name"] in allowed else each
        for each in document["packages"]
    ]
    return write_pylock(document | {"packages": packages})


def _narrowed(package: Mapping[str, Any], allowed: set[str], file: Path) -> dict[str, Any]:
    def fits(each: Mapping[str, Any]) -> bool:
        return any(f"{kind}:{value}".lower() in allowed for kind, value in each["hashes"].items())

    kept = {name: value for name, value in package.items() if name not in {"wheels", "sdist", "archive"}}
    if wheels := [each for each in package.get("wheels", ()) if fits(each)]:
        kept["wheels"] = wheels
    kept |= {kind: package[kind] for kind in ("sdist", "archive") if kind in package and fits(package[kind])}
    if not any(files_of(kept)):
        raise Invalid(
            f"no file of {package['name']} {package.get('version', '')} has a hash that is asked for",
            where=str(file),
            hint="the index has other bytes under this version than it had: ask who publishes it",
        )
    return kept


def _is_conda(line: RequirementLine, asked: Wanted) -> bool:
    return line.name in {python_name(each) for each in asked.taken}


def _head(source: Source, asked: Wanted, left_out: tuple[str, ...]) -> bytes:
    lines = [
        f"# Locked by mlwright from {source.file.name}: {source.command}",
        f"# inputs b3:{_named(asked)}",
        *([f"# left out: {', '.join(left_out)}"] if left_out else []),
    ]
    return "".join(f"{line}\n" for line in lines).encode()


def _named(asked: Wanted) -> str:
    """What a file asks for, by name: comments and the order of its lines are no part of it."""
    lines = sorted([each.text, *sorted(each.hashes)] for each in asked.requirements)
    return composite("inputs", {"requirements": lines, "python": asked.python})


def _inputs(text: bytes) -> str:
    head = _HEAD.match(text)
    found = _INPUTS.search(head[0]) if head else None
    return found[1].decode() if found else ""


def _left_out(text: bytes | None) -> tuple[str, ...]:
    head = _HEAD.match(text or b"")
    found = _LEFT_OUT.search(head[0]) if head else None
    return tuple(found[1].decode().split(", ")) if found else ()


def _versions(lock: bytes | None) -> set[str]:
    """What a lock has, of uv or a pylock: `two==1.0`."""
    packages = tomllib.loads((lock or b"").decode())
    found = [*packages.get("packages", ()), *packages.get("package", ())]
    return {f"{each['name']}=={each.get('version', '')}" for each in found}
