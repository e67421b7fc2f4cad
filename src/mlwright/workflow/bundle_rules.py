"""What no bundle that `runs export` wrote says: looked for before anything of it is believed."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from msgspec import Struct, field

from mlwright.kernel.clock import now_us
from mlwright.kernel.digest import Digest, is_digest
from mlwright.kernel.ids import looks_like_id
from mlwright.sdk.codec_names import ONNX, TREE
from mlwright.storage.trees import is_safe
from mlwright.tracking.fields import KINDS
from mlwright.tracking.run import REPORTED
from mlwright.versioning import Artifact, Version
from mlwright.versioning.about import wrong_about
from mlwright.workflow.attempts import AttemptState
from mlwright.workflow.bundle import FORMAT, Bundle
from mlwright.workflow.outputs import ABSENT

_KINDS = set(KINDS) - {REPORTED}
_SKEW_US = 300_000_000
"""So far apart may clocks be; a run from further ahead would be the latest until then."""


class Absent(Struct, frozen=True):
    """What is told of an artifact whose bytes are elsewhere."""

    digest: Digest
    codec: str
    type: str
    size_bytes: int


class _Machine(Struct, frozen=True, forbid_unknown_fields=True):
    """As `this_machine` tells it; runs of earlier versions tell less."""

    cpus: int = 0
    memory_bytes: int = 0
    gpus: tuple[str, ...] = ()
    processor: str = ""
    features: str = ""


class _Imported(Struct, frozen=True):
    workspace: str
    at_us: int


class _About(Struct, frozen=True):
    variables: dict[str, str] = {}
    left_out: tuple[str, ...] = ()
    imported: _Imported | None = None


class _Cause(Struct, frozen=True):
    message: str = ""


class _Detail(Struct, frozen=True):
    """Of an attempt, what every page shows; and what it made whose bytes are elsewhere."""

    error: _Cause = _Cause()
    note: str = ""
    elsewhere: dict[str, Absent] = field(name=ABSENT, default_factory=dict)


def wrong_with(bundle: Bundle, size_bytes: int) -> str:
    """Which rule of bundles a manifest breaks.

    Args:
        bundle: what it says.
        size_bytes: of the whole file.

    Returns:
        It, in words; empty when none.
    """
    rules = (_names(bundle), _members(bundle, size_bytes), _run(bundle), _attempts(bundle), _versions(bundle))
    return next(filter(None, rules), "") or _told(bundle)


def _names(bundle: Bundle) -> str:
    ids: list[str] = [bundle.run.id, bundle.workspace, *(each.id for each in bundle.attempts)]
    ids += [each.artifact.id for each in bundle.made]
    whole = all(len(each) == 26 and looks_like_id(each) for each in ids)
    return "" if whole and all(map(is_digest, _digests(bundle))) else "it names what is no digest or no id"


def _digests(bundle: Bundle) -> Iterator[str]:
    yield from (bundle.snapshot.digest, bundle.snapshot.tree)
    yield from (each.digest for each in bundle.members)
    for lock in bundle.locks.values():
        yield from (lock.digest, lock.pylock)
    yield from (each.digest for each in _all_versions(bundle))
    yield from (each.artifact.digest for each in bundle.made)
    yield from (each.artifact.digest for each in bundle.models.values())
    yield from (each.digest for each in _conversions(bundle))
    yield from (each.log for each in bundle.attempts if each.log is not None)


def _conversions(bundle: Bundle) -> list[Artifact]:
    return [each.conversion for each in bundle.models.values() if each.conversion is not None]


def _all_versions(bundle: Bundle) -> list[Version]:
    return [*bundle.datasets.values(), *(each.version for each in bundle.models.values())]


def _members(bundle: Bundle, size_bytes: int) -> str:
    sizes = {each.name: each.size_bytes for each in bundle.members}
    if bundle.format != FORMAT:
        return "its format is unknown"
    if len(sizes) < len(bundle.members):
        return "it names a file twice"
    if min(sizes.values(), default=0) < 0 or bundle.size_bytes > size_bytes:
        return "its files are larger than it"
    needed = {f"objects/{each.pylock}" for each in bundle.locks.values()} | {f"trees/{bundle.snapshot.tree}"}
    needed |= {f"trees/{each.digest}" for each in bundle.datasets.values()}
    needed |= {f"objects/{each.version.digest}" for each in bundle.models.values()}
    needed |= {f"objects/{each.digest}" for each in _conversions(bundle)}
    needed |= {f"objects/{each.log}" for each in bundle.attempts if each.log is not None}
    if not needed <= sizes.keys():
        return "it lacks files that it needs"
    made = [each.artifact for each in bundle.made if each.artifact.codec != TREE]
    if any(sizes.get(f"objects/{each.digest}", each.size_bytes) != each.size_bytes for each in made):
        return "an output is not as large as it says"
    return ""


def _run(bundle: Bundle) -> str:
    run = bundle.run
    if not run.state.ended or run.finished_us is None:
        return "the run goes on"
    if run.created_us > run.finished_us or run.finished_us > now_us() + _SKEW_US:
        return "the run ended before it began, or in the future"
    if run.kind not in _KINDS or (run.kind != "pipeline" and not is_safe(run.pipeline)):
        return "it is no kind of run"
    if run.error is not None and not isinstance(run.error.get("message"), str):
        return "its error says nothing"
    return "" if "" in bundle.locks else "it has no environment"


def _attempts(bundle: Bundle) -> str:
    attempts = {each.id for each in bundle.attempts}
    known = {each.artifact.id for each in bundle.made}
    if len(attempts) < len(bundle.attempts) or any(each.run_id != bundle.run.id for each in bundle.attempts):
        return "attempts are of another run"
    if any(each.state is AttemptState.RUNNING for each in bundle.attempts):
        return "an attempt goes on"
    if any(each.fingerprint is not None for each in bundle.attempts):
        return "its results ask to be reused"
    outputs = ("output:", "logged:")
    if any(each.attempt not in attempts or not each.role.startswith(outputs) for each in bundle.made):
        return "an output is of no attempt"
    for taken in bundle.taken:
        there = taken.id in (known if taken.kind == "artifact" else bundle.datasets)
        plain = taken.role == "when" or taken.role.startswith("input:")
        if not there or not plain or taken.attempt not in attempts:
            return "an attempt took what is not there"
    return ""


def _versions(bundle: Bundle) -> str:
    if any(each.kind != "dataset" for each in bundle.datasets.values()):
        return "a dataset is none"
    for model in bundle.models.values():
        of_bytes = model.artifact.codec != TREE and model.version.digest == model.artifact.digest
        if model.version.kind != "model" or not of_bytes:
            return "a model is none"
    if any(each.codec != ONNX for each in _conversions(bundle)):
        return "a conversion is none"
    if not all(0 < each.number < 2**31 for each in _all_versions(bundle)):
        return "a version has a number that none has"
    numbered = {(each.kind, each.name, each.number): each.digest for each in _all_versions(bundle)}
    twice = any(numbered[each.kind, each.name, each.number] != each.digest for each in _all_versions(bundle))
    if twice:
        return "a version has two contents"
    return next(filter(None, (wrong_about(each.kind, each.about) for each in _all_versions(bundle))), "")


def _told(bundle: Bundle) -> str:
    """What pages print and look into, as they take it to be."""
    try:
        machine = msgspec.convert(bundle.run.machine, _Machine)
        about = msgspec.convert(bundle.run.about, _About)
        details = [msgspec.convert(each.detail, _Detail) for each in bundle.attempts]
    except msgspec.ValidationError as error:
        return f"what it says of the run is not clear: {error}"
    elsewhere = [(role, absent) for each in details for role, absent in each.elsewhere.items()]
    roles = [*(each.role for each in bundle.made), *(role for role, _ in elsewhere)]
    if not all(map(_is_plain_role, roles)):
        return "it names an output by a path"
    shown = [*_words(bundle), *roles, *machine.gpus, machine.processor, machine.features]
    shown += [*about.variables, *about.variables.values(), *about.left_out]
    shown += [text for _, absent in elsewhere for text in (absent.codec, absent.type)]
    return "" if all(map(str.isprintable, shown)) else "it names what no terminal can show"


def _is_plain_role(role: str) -> bool:
    """What a step logged may be called as a file in a folder, never as one outside."""
    kind, _, name = role.partition(":")
    return is_safe(name) and (kind == "logged" or (kind == "output" and "/" not in name))


def _words(bundle: Bundle) -> Iterator[str]:
    yield from (bundle.run.project, bundle.run.pipeline, *bundle.run.pins, *bundle.run.pins.values())
    yield from (bundle.snapshot.git_commit, bundle.snapshot.git_remote, *bundle.snapshot.left_out)
    yield from (*bundle.parameters, *bundle.logged, *(each.name for each in bundle.metrics))
    yield from (*bundle.locks, *bundle.datasets, *bundle.models)
    for lock in bundle.locks.values():
        yield from (lock.python, lock.platform)
    for attempt in bundle.attempts:
        yield from (attempt.node, attempt.worker, attempt.gpus)
    artifacts = [each.artifact for each in bundle.made] + [each.artifact for each in bundle.models.values()]
    for artifact in [*artifacts, *_conversions(bundle)]:
        yield from (artifact.codec, artifact.type)
    yield from (each.role for each in bundle.taken)
    for version in _all_versions(bundle):
        yield from version.message.replace("\t", " ").split("\n")
