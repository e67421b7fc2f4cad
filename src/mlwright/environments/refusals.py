"""What uv refused, as one clear error: who asks for what, and what to do; uv's own words follow."""

from __future__ import annotations

import re
from collections.abc import Collection
from difflib import get_close_matches
from textwrap import indent
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

from mlwright.environments.derivations import Ask, Derivation, read_derivation
from mlwright.kernel.errors import Corrupt, Incompatible, Invalid, MlwrightError, NotFound, Unavailable

_SHOWN_LETTERS = 900
_SHOWN_LINES = 12
_SHOWN_LINE = 200
_SHOWN_ASKS = 6
_SPLIT = re.compile(r"^No solution found.* for split \(markers: (.+)\)$")
"""uv solves different Pythons and platforms apart, and stops at the first that has no solution."""
_OFFLINE = re.compile(r"network (?:connectivity )?(?:is|was) disabled")
_OUTER = ("No solution found", "Failed to add dependencies", "Failed to download")
"""What uv says around the cause."""

_IMPORTED_AS = {
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python",
    "dateutil": "python-dateutil",
    "pil": "pillow",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
"""What is imported under another name than it is installed by."""
_WELL_KNOWN = (
    *("catboost", "datasets", "duckdb", "fastapi", "httpx", "joblib", "jupyter", "keras", "lightgbm"),
    *(
        "matplotlib",
        "mlflow",
        "numba",
        "numpy",
        "onnx",
        "onnxruntime",
        "optuna",
        "pandas",
        "plotly",
        "polars",
    ),
    *("pyarrow", "pydantic", "pytest", "requests", "safetensors", "scikit-learn", "scipy", "seaborn", "shap"),
    *("skops", "spacy", "sqlalchemy", "statsmodels", "tensorflow", "torch", "torchvision", "tqdm"),
    *("transformers", "xgboost", *_IMPORTED_AS.values()),
)
"""A registry is not asked for all of its names; a mistyped one is mostly one of these."""


class _Told(Struct, frozen=True):
    """What uv printed, taken apart: its errors, outermost first, and its hints."""

    causes: tuple[str, ...]
    hints: tuple[str, ...]


def refusal(
    what: str, stderr: str, known: Collection[str] = (), declared: Collection[str] = ()
) -> MlwrightError:
    """The error that says why uv failed.

    Args:
        what: could not be done.
        stderr: what uv printed, with credentials masked.
        known: names of packages that one may have meant: those the project has.
        declared: the project's requirements as they are written: uv tells those it has narrowed.

    Returns:
        `NotFound` for a package that no index has; `Invalid` for requirements that contradict each other, or
        ask for what is not there or was yanked; `Incompatible` where this Python or platform is not served;
        `Corrupt` for a file with another hash; else `Unavailable`.
    """
    told = _take_apart(stderr)
    unsolved = next((cause for cause in told.causes if cause.startswith("No solution found")), None)
    if unsolved is not None:
        return _unsatisfiable(what, told, read_derivation(told.causes[-1]), known, declared)
    for tell in (_other_hash, _not_built, _fetch, _other_python, _no_wheel, _unreadable):
        if (found := tell(what, told)) is not None:
            return found
    words = "\n".join([*told.causes, *told.hints]) or stderr.strip()
    return Unavailable(f"{what}:\n{_ends_of(words)}", hint="check the names and the network, then try again")


def excludes(stderr: str) -> bool:
    """Whether uv says that packages cannot be had together: no other network or index would mend that.

    Args:
        stderr: what uv printed, with credentials masked.
    """
    told = _take_apart(stderr)
    if any(cause.startswith("No solution found") for cause in told.causes):
        derivation = read_derivation(told.causes[-1])
        return not (derivation.missing or _OFFLINE.search(stderr))
    return any(tell("", told) is not None for tell in (_not_built, _other_python, _no_wheel))


def _take_apart(stderr: str) -> _Told:
    """uv prints `error: ...`, `  cause: ...` with further lines beneath it, and `hint: ...`."""
    causes: list[list[str]] = []
    hints: list[str] = []
    into: list[str] | None = None
    for line in stderr.splitlines():
        if match := re.match(r"(?:error|\s+cause): (.*)", line):
            into = [match[1]]
            causes.append(into)
        elif line.startswith(" ") and into is not None:
            into.append(line.removeprefix(" " * 9).rstrip())
        elif line:  # an empty one may stand within a cause
            into = None
            if line.startswith("hint: ") and "--frozen" not in line:  # that is an option of uv's, not of ours
                hints.append(line.removeprefix("hint: "))
    return _Told(tuple("\n".join(each).strip() for each in causes), tuple(hints))


def _error(kind: type[MlwrightError], what: str, why: str, told: _Told, hint: str) -> MlwrightError:
    """Our words, then uv's, shortened."""
    causes = [each for each in told.causes if not each.startswith(_OUTER)] or told.causes
    words = "\n".join([*causes, *told.hints])
    if len(words) > _SHOWN_LETTERS:
        words = f"{words[:_SHOWN_LETTERS].rstrip()} ..."
    return kind(f"{what}: {why}\n  uv's own words:\n{indent(words, '    ')}", hint=hint)


def _unsatisfiable(
    what: str, told: _Told, derivation: Derivation, known: Collection[str], declared: Collection[str]
) -> MlwrightError:
    if derivation.missing:
        return _missing(what, told, derivation, known)
    contested = derivation.contested
    yanked = next((name for name in derivation.yanked if _bare(name) in contested or not contested), None)
    if yanked is not None:
        reason = derivation.yanked[yanked]
        return _error(
            Invalid,
            what,
            f"`{yanked}` was yanked{f' ({reason})' if reason else ''}, and nothing else fits"
            f"{_asked_by(derivation, _bare(yanked))}",
            told,
            "ask for another version; or, if it must be this one, name it and say so: "
            f'mlwright environments add "{yanked}" --allow-yanked',
        )
    if derivation.python:
        project, package, wanted = derivation.python
        return _error(
            Incompatible,
            what,
            f"`{package}` needs Python {wanted}, and the project is for Python {project}"
            f"{_asked_by(derivation, _bare(package))}",
            told,
            f"ask for another version of `{_bare(package)}`,"
            f' or set requires-python = "{wanted}" in pyproject.toml and run mlwright with such a Python',
        )
    if derivation.no_wheel:
        package, tag = derivation.no_wheel
        return _no_wheel_error(what, package, f"its files are for another {tag}", told)
    if contested:
        return _contest(what, told, derivation, contested, declared)
    if derivation.asks and derivation.available:
        return _no_version(what, told, derivation)
    return _error(
        Invalid, what, "the requirements cannot be had together", told, "relax one of them in pyproject.toml"
    )


def _missing(what: str, told: _Told, derivation: Derivation, known: Collection[str]) -> MlwrightError:
    name = derivation.missing[0]
    refused = next((hint for hint in told.hints if "401" in hint or "403" in hint), None)
    if refused is not None:
        host = _host(refused)
        return _error(
            Unavailable,
            what,
            f"the package index at {host} does not let us in: it asks for other credentials",
            told,
            "give them in ~/.netrc, or for an index NAME by UV_INDEX_NAME_USERNAME and ..._PASSWORD",
        )
    close = _IMPORTED_AS.get(name) or next(
        iter(get_close_matches(name, {*known, *_WELL_KNOWN} - {name}, 1)), ""
    )
    return _error(
        NotFound,
        what,
        f"no package index of the project has `{name}`{_asked_by(derivation, name)}",
        told,
        f"did you mean `{close}`?" if close else "check the name, and the indexes in pyproject.toml",
    )


def _contest(
    what: str,
    told: _Told,
    derivation: Derivation,
    contested: dict[str, tuple[Ask, ...]],
    declared: Collection[str],
) -> MlwrightError:
    """Two or more ask for versions of one package that exclude each other."""
    lines = []
    roots: list[Ask] = []
    for asks in contested.values():
        by_subject: dict[str, list[Ask]] = {}
        for ask in asks:
            by_subject.setdefault(ask.subject.name or ask.subject.shown, []).append(ask)
        for several in list(by_subject.values())[:_SHOWN_ASKS]:
            chain = derivation.chain(several[0])
            lines.append(f"\n  {_told_asks(several, chain)}")
            roots += several if several[0].subject.own else chain[-1:]
    roots = [root for root in roots if root.subject.own]
    if split := next((found for each in told.causes if (found := _SPLIT.search(each))), None):
        lines.append(f"\n  seen where {split[1]}")
    parts = {root.subject.part for root in roots}
    names = " and ".join(f"`{name}`" for name in contested)
    if len(parts) > 1 and "" not in parts:
        told_parts = ", ".join(
            f'{{ {each.subject.kind} = "{each.subject.part}" }}' for each in _by_part(roots)
        )
        hint = f"if they need not go together, say so: [tool.uv] conflicts = [[{told_parts}]]"
    else:
        written = {_bare(each).strip(): each for each in declared}
        wanted = list(
            dict.fromkeys(
                str(root.requirement)
                if root.requirement.name in contested
                else written.get(root.requirement.name, str(root.requirement))
                for root in roots
            )
        )
        hint = (
            f"relax one of these: {', '.join(f'`{each}`' for each in wanted)}"
            if wanted
            else "relax one of them"
        )
    return _error(
        Invalid,
        what,
        f"the versions of {names} that are asked for exclude each other:{''.join(lines)}",
        told,
        hint,
    )


def _told_asks(asks: list[Ask], chain: tuple[Ask, ...]) -> str:
    """What one side asks for: `two<2: three, which this project asks for`."""
    first = asks[0]
    versions = list(dict.fromkeys(ask.requirement.versions for ask in asks))
    if first.subject.own:
        wanted = " and ".join(f"{first.requirement.name}{each}" for each in versions)
    else:
        wanted = f"{first.requirement.name}{' or '.join(versions)}"
    if len(asks) > 1 and not first.subject.own:
        shown = f"{first.subject.name} (one version or another)"
        chain = (replace(first, subject=replace(first.subject, shown=shown)), *chain[1:])
    return f"{wanted}: {_told_chain(chain)}"


def _by_part(roots: list[Ask]) -> list[Ask]:
    return list(
        {root.subject.part: root for root in sorted(roots, key=lambda ask: ask.subject.part)}.values()
    )


def _no_version(what: str, told: _Told, derivation: Derivation) -> MlwrightError:
    name, available = next(iter(derivation.available.items()))
    asks = [ask for ask in derivation.asks if ask.requirement.name == name]
    wanted = " and ".join(f"`{ask.requirement}`" for ask in asks) or f"`{name}`"
    there = f"; there is {', '.join(available)}" if available else ""
    return _error(
        Invalid,
        what,
        f"no version of `{name}` fits {wanted}{there}{_asked_by(derivation, name)}",
        told,
        f"ask for another version of `{name}`",
    )


def _asked_by(derivation: Derivation, name: str) -> str:
    """`; seven asks for it, which this project asks for`; nothing where the project itself does."""
    ask = next((ask for ask in derivation.asks if ask.requirement.name == name), None)
    if ask is None or (ask.subject.own and not ask.subject.part):
        return ""
    return f"; asked for by {_told_chain(derivation.chain(ask))}"


def _told_chain(chain: tuple[Ask, ...]) -> str:
    """`five, which six needs, which this project asks for`."""
    first, *rest = (ask.subject for ask in chain)
    return ", which ".join(
        [first.shown, *(f"{each.shown} {'asks for' if each.own else 'needs'}" for each in rest)]
    )


def _bare(requirement: str) -> str:
    return re.split(r"[<>=!~\[{]", requirement, maxsplit=1)[0]


def _other_hash(what: str, told: _Told) -> MlwrightError | None:
    for cause in told.causes:
        if match := re.match(r"Hash mismatch for `(.+?)`", cause):
            found = re.findall(r"(?:sha|md5|blake)\w*:\w+", cause)
            locked, computed = (f"{each[:19]}..." for each in (found[0], found[-1])) if found else ("", "")
            name = _bare(match[1])
            return _error(
                Corrupt,
                what,
                f"the file of `{match[1]}` has another hash ({computed}) than was locked ({locked})",
                told,
                "it was damaged or replaced on its way: ask who serves the index; if the new file is right,"
                f" mlwright environments update {name}",
            )
    return None


def _fetch(what: str, told: _Told) -> MlwrightError | None:
    for at, cause in enumerate(told.causes):
        if match := re.match(r"Failed to fetch: `?(\S+?)`?$", cause):
            return _unreachable(what, told, match[1], told.causes[at + 1 :])
    return None


def _unreachable(what: str, told: _Told, url: str, causes: tuple[str, ...]) -> MlwrightError:
    last = re.sub(r" for url \(.*\)$| \(os error \d+\)$", "", causes[-1] if causes else "it does not answer")
    status = re.match(r"HTTP status \w+ error \((\d+ .*)\)", last)
    file = url.rstrip("/").rpartition("/")[2] if re.search(r"\.(whl|tar\.gz|zip|metadata)$", url) else ""
    if status and file and status[1].startswith("404"):
        why = f"{_host(url)} does not have the file `{file}` any more"
        hint = "take another version: mlwright environments update NAME"
    elif status:
        why = f"the package index at {_host(url)} answers {status[1]}"
        hint = "try again later, or name another index in pyproject.toml"
    else:
        why = f"the package index at {_host(url)} cannot be reached: {last}"
        hint = "check the network, and the indexes in pyproject.toml, then try again"
    return _error(Unavailable, what, why, told, hint)


def _host(text: str) -> str:
    """Host and port of the first address in a text; never who logs in there."""
    match = re.search(r"\w+://[^\s`)]+", text)
    return urlsplit(match[0]).netloc.rpartition("@")[2] if match else "an unknown host"


def _other_python(what: str, told: _Told) -> MlwrightError | None:
    pattern = r"interpreter resolved to Python (\S+), which is incompatible with .*?requirement: `(.+?)`"
    match = next((found for cause in told.causes if (found := re.search(pattern, cause))), None)
    if match is None:
        return None
    return _error(
        Incompatible,
        what,
        f"the project is for Python {match[2]}, and this is Python {match[1]}",
        told,
        "run mlwright with such a Python, or change requires-python in pyproject.toml",
    )


def _no_wheel(what: str, told: _Told) -> MlwrightError | None:
    pattern = r"`(.+?)` can't be installed because it doesn't have a source distribution or wheel"
    match = next((found for cause in told.causes if (found := re.search(pattern, cause))), None)
    if match is None:
        return None
    platforms = re.findall(r"for the following [\w ]+: (.+?)(?:;|$)", "\n".join(told.hints))
    only = f", only for {platforms[0]}" if platforms else ""
    return _no_wheel_error(what, match[1], f"it has no file for this Python and platform{only}", told)


def _no_wheel_error(what: str, package: str, why: str, told: _Told) -> MlwrightError:
    return _error(
        Incompatible,
        what,
        f"`{package}` cannot be installed here: {why}",
        told,
        f"ask for another version of `{_bare(package)}`, or run where it has one",
    )


def _not_built(what: str, told: _Told) -> MlwrightError | None:
    """A package that has no wheel for this Python, and whose source does not compile here."""
    text = "\n".join(told.causes)
    match = re.search(r"Failed to (?:download and )?build `([^`@]+==[^`@]+)`", text)
    if match is None:
        return None  # a folder or a repository may build tomorrow
    return Incompatible(
        f"{what}: `{match[1]}` has no wheel for this Python and platform, and cannot be built of its source\n"
        f"  the end of its own words:\n{indent(_ends_of(text), '    ')}",
        hint=f"ask for a version of `{_bare(match[1])}` that has one, or install what its build needs",
    )


def _ends_of(words: str) -> str:
    """The first line, and the last ones: a compiler says thousands."""
    lines = [f"{line[:_SHOWN_LINE]} ..." if len(line) > _SHOWN_LINE else line for line in words.splitlines()]
    if len(lines) <= _SHOWN_LINES:
        return "\n".join(lines)
    return "\n".join([lines[0], f"... ({len(lines) - _SHOWN_LINES} lines)", *lines[1 - _SHOWN_LINES :]])


def _unreadable(what: str, told: _Told) -> MlwrightError | None:
    match = next(
        (found for cause in told.causes if (found := re.match(r"Failed to parse:? `?(.+?)`?$", cause))), None
    )
    if match is None:
        return None
    hint = (
        "if it was merged or edited by hand, take it from version control, or remove it:"
        " mlwright environments lock makes it anew"
        if match[1].endswith("uv.lock")
        else "correct it"
    )
    return _error(Invalid, what, f"{match[1]} cannot be read", told, hint)
