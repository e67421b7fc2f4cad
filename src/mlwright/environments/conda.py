"""A conda `environment.yml`: what pip can install of it, and by name what it cannot."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from msgspec import Struct

from mlwright.environments.credentials import shown
from mlwright.environments.declared import normal
from mlwright.environments.requirements import RequirementLine, parse_requirements
from mlwright.kernel.errors import Invalid, NotFound

_OTHER_NAMES = {
    "pytorch": "torch",
    "pytorch-cpu": "torch",
    "pytorch-gpu": "torch",
    "matplotlib-base": "matplotlib",
    "seaborn-base": "seaborn",
    "dask-core": "dask",
    "numpy-base": "numpy",
    "py-xgboost": "xgboost",
    "py-xgboost-cpu": "xgboost",
    "py-opencv": "opencv-python",
    "opencv": "opencv-python",
    "pytables": "tables",
    "msgpack-python": "msgpack",
    "faiss": "faiss-cpu",
    "tensorflow-base": "tensorflow",
    "importlib_metadata": "importlib-metadata",
    "backports.zoneinfo": "backports-zoneinfo",
}
"""Python packages that conda calls otherwise."""

_NO_PYTHON = re.compile(
    r"""(?!(librosa|libcst|libpysal|qtpy|nvidia-ml-py|cuda-python)$)
    (_.*|lib.*|r-.*|cuda.*|cudnn.*|nvidia-.*|pytorch-cuda|pytorch-mutex|cpuonly|mkl|mkl-service|blas|openblas
    |gcc.*|gxx.*|clang.*|compilers|c-compiler|cxx-compiler|ld_impl_.*|binutils.*|cmake|make|ninja|pkg-config
    |openssl|ca-certificates|zlib|zstd|xz|bzip2|lz4-c|sqlite|ncurses|readline|tk|icu|expat|gmp|mpfr
    |hdf5|nodejs|openjdk|git|git-lfs|ffmpeg|graphviz|pandoc|tzdata|python_abi|conda|mamba|pip|intel-openmp
    |llvm-openmp|glib|freetype|fontconfig|jpeg|lcms2|qt.*|yaml|postgresql|redis|unixodbc|boost-cpp|arrow-cpp)""",
    re.VERBOSE,
)
"""What conda packs that is no Python package: nothing on a package index is meant by these names."""

_SPEC = re.compile(r"(?:[^\s:]+::)?(?P<name>[A-Za-z0-9_][A-Za-z0-9_.-]*)\s*(?P<rest>.*)")


class CondaFile(Struct, frozen=True):
    """What an `environment.yml` asks for.

    Args:
        requirements: of its pip section, and of its conda packages those that are Python's.
        python: minor version of the interpreter that it asks for; empty for any.
        taken: conda packages for which the Python package of the same, or its usual, name is taken.
        left_out: conda packages that are no Python packages.
    """

    requirements: tuple[RequirementLine, ...]
    python: str
    taken: tuple[str, ...]
    left_out: tuple[str, ...]


def read_conda(file: Path, root: Path, *, check: bool = True) -> CondaFile:
    """What a conda environment asks for.

    Args:
        check: as for `read_requirements`.

    Raises:
        NotFound: there is no such file.
        Invalid: it is no conda environment, or a line in it cannot be understood.
    """
    found: list[RequirementLine] = []
    taken, left_out, python = [], [], ""
    for entry in _dependencies(file):
        if isinstance(entry, dict):
            if set(entry) != {"pip"} or not _texts(entry["pip"]):
                raise Invalid(f"{shown(' '.join(map(str, entry)))} is not a list for pip", where=str(file))
            found += parse_requirements(entry["pip"] or [], file, root, check=check)
            continue
        name, versions = _conda(entry, file)
        if name == "python":
            python = _minor(versions, entry, file)
        elif _NO_PYTHON.fullmatch(name):
            left_out.append(name)
        else:
            taken.append(name)
            found += parse_requirements([f"{python_name(name)}{versions}"], file, root, check=check)
    return CondaFile(tuple(found), python, tuple(sorted(taken)), tuple(sorted(left_out)))


def python_name(name: str) -> str:
    """What a conda package is called on a package index: the same, but for a few."""
    return normal(_OTHER_NAMES.get(name, name))


def _dependencies(file: Path) -> list[str | dict[str, Any]]:
    import yaml  # 65 ms, for who has such a file

    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {file.name}", where=str(file.parent)) from error
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"{file.name} cannot be read as text", where=str(file)) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        why = getattr(error, "problem", None) or "it is no YAML"
        raise Invalid(f"{file.name} cannot be read: {why}", where=f"{file}{line}") from error
    found = document.get("dependencies") if isinstance(document, dict) else None
    if not isinstance(found, list) or not all(isinstance(each, str | dict) for each in found):
        raise Invalid(
            f"{file.name} is no environment of conda: it has no list of `dependencies`", where=str(file)
        )
    return found


def _texts(found: Any) -> bool:
    return found is None or (isinstance(found, list) and all(isinstance(each, str) for each in found))


def _conda(spec: str, file: Path) -> tuple[str, str]:
    """A conda package's name, and its versions as pip writes them.

    Source: conda's documentation, package match specifications: `name=1.2` is `1.2` and all of `1.2.*`,
    `name=1.2=build` and `name 1.2 build` are one version, `name==1.2` too.
    """
    parsed = _SPEC.fullmatch(spec.strip())
    if parsed is None or "://" in spec:
        raise _no_spec(spec, file)
    name, rest = parsed["name"].lower(), parsed["rest"].strip()
    if re.search(r"[|\[\]]", rest):
        raise _no_spec(spec, file)
    if exact := re.fullmatch(r"={0,2}\s*([^\s=<>!~,*]+)[\s=]+[^\s=<>!~,]+", rest):
        return name, f"=={exact[1]}"  # with a build
    if fuzzy := re.fullmatch(r"=\s*([^\s=<>!~,*]+?)\.?\*?", rest):
        return name, f"=={fuzzy[1]}.*"
    if glob := re.fullmatch(r"([^\s=<>!~,*]+?)\.?\*", rest):
        return name, f"=={glob[1]}.*"
    if bare := re.fullmatch(r"[^\s=<>!~,*]+", rest):
        return name, f"=={bare[0]}"
    versions = re.sub(r"\s+", "", rest)
    # Among several, `=1.2` stands as it does alone.
    return name, ",".join(
        f"={part}.*" if re.fullmatch(r"=[^=].*[^*]", part) else part for part in versions.split(",")
    )


def _minor(versions: str, spec: str, file: Path) -> str:
    """The minor version of Python that is asked for; empty if the one that runs this will do.

    Raises:
        Invalid: it will not do, and no minor version is named.
    """
    import platform

    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    if named := re.fullmatch(r"==(\d+\.\d+)(\.[\d*]+)*", versions):
        return named[1]
    try:
        fits = SpecifierSet(versions).contains(platform.python_version())
    except InvalidSpecifier as error:
        raise _no_spec(spec, file) from error
    if not fits:
        raise Invalid(
            f"{shown(spec)} is not the Python {platform.python_version()} of mlwright, and names no other",
            where=str(file),
            hint="name a minor version: python=3.12",
        )
    return ""


def _no_spec(spec: str, file: Path) -> Invalid:
    return Invalid(
        f"{shown(spec)} is not understood as a conda package",
        where=str(file),
        hint="write NAME, NAME=VERSION or NAME>=VERSION",
    )
