"""Changing what a project depends on: the two files as they would be, what differs in them, and why."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from mlwright.environments.aside import PYPROJECT, UV_LOCK, aside, real_paths
from mlwright.environments.credentials import refuse_credentials
from mlwright.environments.declared import check_requirements, names, normal
from mlwright.environments.listing import OWN
from mlwright.environments.pending import Pending, state_of
from mlwright.environments.sources import meant, source_of
from mlwright.environments.uv import Uv
from mlwright.environments.uv_lock import LockedPackage, UvLock, read_uv_lock
from mlwright.environments.yanked import newly_yanked, refuse_yanked
from mlwright.kernel.digest import Digest
from mlwright.kernel.errors import Invalid, MlwrightError, NotFound, Unavailable, nearest
from mlwright.kernel.files import content_of
from mlwright.kernel.plan import Change, Plan

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")


class PackageChange(Struct, frozen=True):
    """What a change does to one package of `uv.lock`.

    Args:
        before: its versions; several where Pythons, platforms or environments differ; empty for none.
        after: its versions then.
        why: who asks for it, or needs it.
    """

    name: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    why: str

    @property
    def verdict(self) -> Literal["add", "update", "remove"]:
        """What happens to it."""
        if not self.before:
            return "add"
        return "update" if self.after else "remove"

    @property
    def shown(self) -> str:
        """`two 2.0 -> 1.0`."""
        before, after = ", ".join(self.before), ", ".join(self.after)
        if self.verdict != "update":
            return f"{self.name} {before or after}".rstrip()
        return f"{self.name} {before} -> {'other files' if before == after else after}"


class Proposal(Struct, frozen=True):
    """A project's `pyproject.toml` and `uv.lock` as they would be: nothing is written yet.

    Args:
        title: what was asked for: `add three`.
        pyproject: the bytes of the one,
        uv_lock: and of the other.
        since: what both files were when this was worked out, by digest.
        requirements: what changes in `pyproject.toml`: `dependencies: three>=1.0`.
        packages: what changes in `uv.lock`, by name.
        yanked: versions that their authors took back and that were not locked before, each with the reason.
    """

    title: str
    pyproject: bytes
    uv_lock: bytes
    since: Digest
    requirements: tuple[str, ...]
    packages: tuple[PackageChange, ...]
    yanked: dict[str, str]

    @property
    def empty(self) -> bool:
        """Whether both files would stay as they are."""
        return state_of(self.pyproject, self.uv_lock) == self.since

    @property
    def plan(self) -> Plan:
        """What `Changes.apply` does."""
        if self.empty:
            return Plan(self.title, (Change("keep", UV_LOCK, "it fits pyproject.toml"),))
        changes = [Change(each.verdict, each.shown, each.why) for each in self.packages]
        changes += [
            Change(
                "yanked",
                name,
                f"{reason}; taken with --allow-yanked" if reason else "taken with --allow-yanked",
            )
            for name, reason in self.yanked.items()
        ]
        if self.requirements:
            changes.append(Change("write", PYPROJECT, "; ".join(self.requirements)))
        return Plan(self.title, (*changes, Change("write", UV_LOCK, "from the dependencies")))


class Changes:
    """Plans changes of one project's dependencies, and applies them.

    Args:
        root: the project's folder.
        uv: runs there.
        local: where a change waits while it is applied.
    """

    def __init__(self, root: Path, uv: Uv, local: Path) -> None:
        self._root = root
        self._uv = uv
        self._pending = Pending(root, local)

    def plan_add(self, requirements: Sequence[str], environment: str = "") -> Proposal:
        """Ask for packages.

        Args:
            requirements: as a user would write them: `pandas>=2.2`.
            environment: the dependency group or extra that asks; a new name is a new group. Empty, or
                `default`, for the project's own dependencies.

        Raises:
            Invalid: one of them is no requirement, they contradict others, or a file says what it needs.
            NotFound: no index has one of them.
            Incompatible: one of them does not serve this Python or platform.
            Unavailable: an index cannot be reached.
        """
        check_requirements(requirements)
        if not requirements:
            raise Invalid("no package is named", hint='mlwright environments add "pandas>=2.2"')
        option = self._option(self._part(environment))
        shown = ", ".join(f"`{each}`" for each in requirements)
        return self._propose(
            f"add {', '.join(requirements)}",
            ["add", "--no-sync", *option, "--", *requirements],
            f"{shown} cannot be added",
        )

    def plan_remove(self, packages: Sequence[str], environment: str = "") -> Proposal:
        """Ask for packages no more; what only they need goes with them.

        Raises:
            NotFound: the project, or the environment named, does not ask for one of them.
            Invalid, Unavailable: as `plan_add`.
        """
        if not packages:
            raise Invalid("no package is named", hint="mlwright environments remove PACKAGE")
        environment = self._part(environment)
        for name in packages:
            self._refuse_not_asked(name, environment)
        return self._propose(
            f"remove {', '.join(packages)}",
            ["remove", "--no-sync", *self._option(environment), "--", *packages],
            f"{', '.join(f'`{each}`' for each in packages)} cannot be removed",
        )

    def plan_update(self, packages: Sequence[str] = ()) -> Proposal:
        """Take the newest versions that fit; `pyproject.toml` stays.

        Args:
            packages: of these only, and where need be of what they need; `pandas==2.2` for that version. By
                default of all.

        Raises:
            NotFound: there is no `uv.lock`, or a package is not in it.
            Invalid, Incompatible, Unavailable: as `plan_add`.
        """
        check_requirements(packages)
        if not names(self._root):  # groups and extras are in uv.lock, whatever file says the rest
            self._part("")
        known = read_uv_lock(self._before()[1]).packages
        if not (self._root / UV_LOCK).exists():
            raise NotFound(
                "the project's dependencies are not locked: there is no uv.lock",
                where=str(self._root),
                hint="mlwright environments lock",
            )
        for each in packages:
            match = _NAME.match(each)
            if match is None or normal(match[0]) not in known:
                raise NotFound(
                    f"`{each}` is not locked, so that it cannot be updated",
                    where=str(self._root / UV_LOCK),
                    hint=nearest(each, list(known)),
                )
        chosen = [f"--upgrade-package={each}" for each in packages] or ["--upgrade"]
        shown = ", ".join(f"`{each}`" for each in packages) or "the packages"
        title = f"update {', '.join(packages)}" if packages else "update"
        return self._propose(title, ["lock", *chosen], f"{shown} cannot be updated")

    def plan_lock(self) -> Proposal:
        """Resolve what `pyproject.toml` asks for; what is locked and fits stays.

        Raises:
            Invalid, NotFound, Incompatible, Unavailable: as `plan_add`.
        """
        return self._propose("lock", ["lock"], "the dependencies cannot be locked")

    def apply(self, proposal: Proposal, *, allow_yanked: bool = False) -> None:
        """Put both files in place, as one step: who is killed in between leaves what `mend` finishes.

        Raises:
            Invalid: it takes yanked versions, and that is not allowed.
            Conflict: the files were changed since the proposal was made.
        """
        if not allow_yanked:
            refuse_yanked(proposal.yanked)
        if not proposal.empty:
            self._pending.replace(proposal.pyproject, proposal.uv_lock, proposal.since, proposal.title)

    def mend(self) -> str | None:
        """Finish a change that somebody was killed in; what was done, or None where nothing was left."""
        return self._pending.mend()

    def _before(self) -> tuple[bytes, bytes | None]:
        self.mend()
        return content_of(self._root / PYPROJECT) or b"", content_of(self._root / UV_LOCK)

    def _propose(self, title: str, arguments: list[str], what: str) -> Proposal:
        pyproject, uv_lock = self._before()
        declared = _declared(pyproject, self._root)
        check_requirements([each for part in declared.values() for each in part], self._root / PYPROJECT)
        verb, *rest = arguments
        with aside(self._root, pyproject, uv_lock) as place:
            try:
                done = Uv(place).run(verb, "--python", sys.executable, *rest, what=what)
            except MlwrightError as error:
                error.message = real_paths(error.message, place, self._root)
                raise
            above = place.parents[: len(self._root.resolve().parents)]
            if not (place / UV_LOCK).exists() or any((each / UV_LOCK).exists() for each in above):
                raise Unavailable(
                    "uv keeps the lock of this project elsewhere: it is part of a uv workspace",
                    where=str(self._root),
                    hint="make it a project of its own: leave it out of [tool.uv.workspace]",
                )
            after = (place / PYPROJECT).read_bytes(), (place / UV_LOCK).read_bytes()
        refuse_credentials(after[1].decode(), "uv.lock", str(self._root / PYPROJECT))
        requirements = tuple(_requirement_changes(declared, _declared(after[0], self._root)))
        if tomllib.loads(after[0].decode()) == tomllib.loads(pyproject.decode()):
            after = pyproject, after[1]  # uv lays it out in its own way
        elif not requirements:
            requirements = ("where packages come from",)
        then, now = read_uv_lock(uv_lock), read_uv_lock(after[1])
        locked = {f"{name}=={each.version}" for name, all_ in then.packages.items() for each in all_}
        return Proposal(
            title=title,
            pyproject=after[0],
            uv_lock=after[1],
            since=state_of(pyproject, uv_lock),
            requirements=requirements,
            packages=package_changes(then, now),
            yanked=newly_yanked(done.stderr, locked),
        )

    def _part(self, environment: str) -> str:
        """The group or extra that an environment's name means; empty for the project's own dependencies.

        Raises:
            NotFound, Invalid: a file says what it needs, or would if it were there.
        """
        name = meant(self._root, environment)
        if (source := source_of(self._root, name)) is not None:
            raise Invalid(
                f"what `{name or OWN}` needs stands in {source.file.name}",
                where=str(self._root),
                hint=f"change it by hand, then: {source.command}",
            )
        return name

    def _option(self, environment: str) -> list[str]:
        if not environment:
            return []
        if not _NAME.fullmatch(environment):
            raise Invalid(
                f"{environment!r} cannot be the name of an environment",
                hint="letters and digits, with . _ - between them",
            )
        extras = _tables(self._before()[0], self._root)[1]
        if normal(environment) in map(normal, extras):
            return ["--optional", environment]
        return ["--group", environment]

    def _refuse_not_asked(self, name: str, environment: str) -> None:
        if not _NAME.fullmatch(name):
            raise Invalid(
                f"{name!r} is not the name of a package", hint="write its name alone, without versions"
            )
        pyproject, uv_lock = self._before()
        declared = _declared(pyproject, self._root)
        asking = [
            part for part, lines in declared.items() if normal(name) in {_name_of(line) for line in lines}
        ]
        if normal(environment) in map(normal, asking):
            return
        if asking:
            whose = ", ".join(f"`{part}`" if part else "the project's own dependencies" for part in asking)
            hint = f"asked for by {whose}: mlwright environments remove {name}" + (
                f" --environment {asking[0]}" if asking[0] else ""
            )
        elif needed := read_uv_lock(uv_lock).needed_by(normal(name)):
            hint = f"it is there because {', '.join(needed)} {'needs' if len(needed) == 1 else 'need'} it"
        else:
            hint = nearest(name, sorted({_name_of(line) for lines in declared.values() for line in lines}))
        who = f"the environment `{environment}`" if environment else "the project"
        raise NotFound(f"{who} does not ask for `{name}`", where=str(self._root / PYPROJECT), hint=hint)


def package_changes(then: UvLock, now: UvLock) -> tuple[PackageChange, ...]:
    """What differs between two locks, by name."""
    found = []
    for name in sorted({*then.packages, *now.packages}):
        before, after = then.packages.get(name, ()), now.packages.get(name, ())
        if _files(before) != _files(after):
            versions = tuple(tuple(each.version for each in side) for side in (before, after))
            found.append(PackageChange(name, versions[0], versions[1], _why(name, then, now)))
    return tuple(found)


def _files(packages: Iterable[LockedPackage]) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(each.version, each.source, each.hashes) for each in packages]


def _why(name: str, then: UvLock, now: UvLock) -> str:
    if name not in now.packages:
        return "asked for no more" if name in then.asked else "nothing needs it any more"
    by = now.asked.get(name, ())
    parts = "" if "" in by else f" by {', '.join(by)}"
    asked = [f"asked for{parts}"] if by else []
    needed = now.needed_by(name)
    return "; ".join([*asked, *([f"needed by {', '.join(needed)}"] if needed else [])])


def _requirement_changes(
    then: Mapping[str, Sequence[str]], now: Mapping[str, Sequence[str]]
) -> Iterable[str]:
    for part in dict.fromkeys([*then, *now]):
        before, after = set(then.get(part, ())), set(now.get(part, ()))
        where = part or "dependencies"
        names = {_name_of(each): each for each in before - after}
        for each in sorted(after - before):
            old = names.pop(_name_of(each), None)
            yield f"{where}: {f'{old} -> ' if old else ''}{each}"
        for each in sorted(names.values()):
            yield f"{where}: no more {each}"


def _name_of(requirement: str) -> str:
    match = _NAME.match(requirement)
    return normal(match[0].split(" ")[0]) if match else requirement


def _tables(pyproject: bytes, root: Path) -> tuple[Sequence[str], dict[str, Any], dict[str, Any]]:
    """The project's dependencies, its extras and its groups.

    Raises:
        Invalid: it is no TOML, or has neither a table `project` nor dependency groups.
    """
    where = str(root / PYPROJECT)
    try:
        read = tomllib.loads(pyproject.decode())
    except ValueError as error:
        raise Invalid(f"pyproject.toml cannot be read: {error}", where=where, hint="correct it") from error
    if {"project", "dependency-groups"}.isdisjoint(read):
        raise Invalid(
            "pyproject.toml has no [project] table, where dependencies stand",
            where=where,
            hint='add one: [project] name = "NAME" version = "0.1.0" dependencies = []',
        )
    project = read.get("project", {})
    return (
        project.get("dependencies", []),
        project.get("optional-dependencies", {}),
        read.get("dependency-groups", {}),
    )


def _declared(pyproject: bytes, root: Path) -> dict[str, list[str]]:
    """What each part of the project asks for, as it is written; its own dependencies have an empty name."""
    own, extras, groups = _tables(pyproject, root)
    found = {"": list(own)}
    for name, lines in [*extras.items(), *groups.items()]:
        # A group may also name another one, in a table.
        found[name] = [*found.get(name, []), *(each for each in lines if isinstance(each, str))]
    return found
