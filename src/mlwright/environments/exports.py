"""An environment for others: as a pylock, requirements, a conda environment, or a Dockerfile."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from mlwright.environments.locks import Lock
from mlwright.environments.pylocks import files_of, kept_wheels, read_pylock
from mlwright.environments.source_locks import without_head
from mlwright.kernel.digest import Digest
from mlwright.kernel.errors import Conflict, Corrupt, Invalid, NotFound
from mlwright.kernel.files import content_of, replace_own
from mlwright.storage import InlineObjects

FORMS = ("requirements", "pylock", "conda", "dockerfile")

_HEAD = re.compile(
    rb"# environment b3:(?P<digest>[0-9a-f]{64}) \(Python (?P<python>\d+\.\d+), (?P<platform>[^)\s]+)\)"
)


class Export(Struct, frozen=True):
    """An environment in a form that others read.

    Args:
        text: the file.
        beside: files that must lie beside it, by path: those in memory, and objects of ours.
    """

    text: str
    beside: Mapping[str, bytes | Digest]

    def refuse_over(self, lock: Path, source: str, file: Path) -> None:
        """Refuse to write it over a lock, which says what it was made of.

        Args:
            source: the name of the file that the lock was made of.
            file: where it is to be written.

        Raises:
            Conflict: it would be.
        """
        written = [file, *(file.parent / each for each in self.beside)]
        if lock.resolve() in [each.resolve() for each in written]:
            raise Conflict(
                f"{lock.name} is the lock of {source}, and would not fit it any more",
                where=str(lock),
                hint="write to another file: -o DIR/FILE",
            )

    def write(self, file: Path, fetch: Callable[[Digest], bytes]) -> None:
        """Write it, and what must lie beside it.

        Raises:
            Conflict: another file of such a name lies beside it.
        """
        found = {path: fetch(each) if isinstance(each, str) else each for path, each in self.beside.items()}
        for path, data in found.items():
            target = file.parent / path
            if target.exists() and target.read_bytes() != data:
                raise Conflict(
                    f"{path} would be written beside it, and is there already with other content",
                    where=str(target),
                    hint="write into an empty folder: -o DIR/FILE",
                )
        for path, data in found.items():
            replace_own(file.parent / path, data)
        replace_own(file, self.text.encode())


def export(lock: Lock, text: bytes, form: str, name: str = "mlwright") -> Export:
    """An environment in one of the forms.

    Args:
        text: the lock's pylock.
        form: one of `FORMS`.
        name: what conda calls it.

    Raises:
        Invalid: there is no such form.
        Corrupt: the pylock is none.
    """
    document = read_pylock(text, lock.label)
    wheels: dict[str, bytes | Digest] = dict(kept_wheels(text))
    match form:
        case "pylock":
            return Export(f"# {_told(lock)}\n{text.decode()}", wheels)
        case "requirements":
            lines = [f"# {_told(lock)}", *_notes(document), *_lines(document, " \\\n    ")]
            return Export("\n".join(lines) + "\n", wheels)
        case "conda":
            return Export(_conda(lock, document, name), wheels)
        case "dockerfile":
            pylock = f"# {_told(lock)}\n".encode() + text
            return Export(_dockerfile(lock, document, wheels), {"pylock.toml": pylock, **wheels})
    raise Invalid(f"there is no form `{form}`", hint=f"one of: {', '.join(FORMS)}")


def read_export(file: Path, objects: InlineObjects) -> tuple[bytes, dict[str, str] | None]:
    """A pylock file, of which the wheels that lie beside it are taken into the store.

    Returns:
        It without what stands above it; and of that `digest`, `python` and `platform`, if we exported it.

    Raises:
        NotFound: there is no such file, or a wheel that must lie beside it.
        Corrupt: it is no pylock, or a wheel beside it is another.
        Invalid, Incompatible: as `read_pylock`.
    """
    text, where = content_of(file), str(file)
    if text is None:
        raise NotFound(f"there is no file {file.name}", where=str(file.absolute().parent))
    if file.suffix != ".toml":
        raise Invalid(
            f"{file.name} is no pylock, and names no environment exactly",
            where=where,
            hint="write one: mlwright environments export -o pylock.toml",
        )
    bare, told = without_told(text)
    read_pylock(bare, where)
    for path, digest in kept_wheels(bare).items():
        wheel = content_of(file.parent / path)
        if wheel is None:
            raise NotFound(f"there is no {path} beside {file.name}", where=str(file.absolute().parent))
        if objects.put(wheel).digest != digest:
            raise Corrupt(f"{path} is not the wheel that {file.name} names", where=str(file.parent / path))
    return bare, told


def without_told(text: bytes) -> tuple[bytes, dict[str, str] | None]:
    """A pylock without what stands above it, and what that says, if we exported it."""
    first, _, rest = text.partition(b"\n")
    if told := _HEAD.fullmatch(first.rstrip()):
        return rest, {key: value.decode() for key, value in told.groupdict().items()}
    return without_head(text), None


def check_same(lock: Lock, told: Mapping[str, str] | None, where: str) -> None:
    """Refuse a file that is not any more what was exported.

    Raises:
        Corrupt: its digest is another.
    """
    if told is not None and told["digest"] != lock.digest:
        raise Corrupt(
            f"this is not environment b3:{told['digest'][:12]} any more: its lock was changed",
            where=where,
            hint="export it again; or take the first line away, to have it as it is",
        )


def _told(lock: Lock) -> str:
    return f"environment b3:{lock.digest} (Python {lock.python}, {lock.platform})"


def _notes(document: Mapping[str, Any]) -> Iterator[str]:
    for package in document["packages"]:
        if "vcs" in package:
            yield f"# {package['name']} is a commit of Git, and has no hash: install without --require-hashes"


def _lines(document: Mapping[str, Any], between: str) -> Iterator[str]:
    """Each package as a line of requirements, with the hashes of its files."""
    for package in document["packages"]:
        hashes = [
            f"--hash={kind}:{value}"
            for file in files_of(package)
            for kind, value in sorted(file["hashes"].items())
            if kind in {"sha256", "sha384", "sha512"}
        ]
        marker = f" ; {package['marker']}" if "marker" in package else ""
        yield between.join([f"{_requirement(package)}{marker}", *dict.fromkeys(hashes)])


def _requirement(package: Mapping[str, Any]) -> str:
    name = package["name"]
    if "vcs" in package:
        vcs = package["vcs"]
        folder = f"#subdirectory={vcs['subdirectory']}" if "subdirectory" in vcs else ""
        return f"{name} @ git+{vcs['url']}@{vcs['commit-id']}{folder}"
    archive = package.get("archive", {})
    if "path" in archive:
        return f"./{archive['path']}"
    if "url" in archive:
        return f"{name} @ {archive['url']}"
    return f"{name}=={package['version']}"


def _conda(lock: Lock, document: Mapping[str, Any], name: str) -> str:
    """Conda brings the interpreter, pip all packages of the lock. A string of JSON is one of YAML."""
    lines = [
        f"# {_told(lock)}",
        f"name: {json.dumps(name)}",
        "channels:",
        "  - conda-forge",
        "dependencies:",
        f"  - python={lock.python}",
        "  - pip",
    ]
    if packages := [f"      - {json.dumps(each)}" for each in _lines(document, " ")]:
        lines += ["  - pip:", *packages]
    return "\n".join(lines) + "\n"


def _dockerfile(lock: Lock, document: Mapping[str, Any], wheels: Mapping[str, object]) -> str:
    from importlib.metadata import version  # 40 ms, which most commands need not spend

    commits = any("vcs" in package for package in document["packages"])
    lines = [
        f"# {_told(lock)}",
        f"FROM python:{lock.python}-slim",
        *(
            [
                "RUN apt-get update && apt-get install --yes --no-install-recommends git \\",
                "    && rm -rf /var/lib/apt/lists/*",
            ]
            if commits
            else []
        ),
        f"RUN pip install --no-cache-dir uv=={version('uv')}",
        "WORKDIR /opt/environment",
        "COPY pylock.toml ./",
        *(["COPY wheels ./wheels"] if wheels else []),
        "RUN uv venv --python python . --allow-existing \\",
        f"    && uv pip sync --no-cache {'--verify-hashes' if commits else '--require-hashes'} \\",
        "    --allow-empty-requirements --python bin/python pylock.toml",
        "RUN useradd --create-home user",
        "USER user",
        "WORKDIR /home/user",
        "ENV PATH=/opt/environment/bin:$PATH",
    ]
    return "\n".join(lines) + "\n"
