"""What is to be said of each output of a run that was made again; of one that differs, in which way.

Nothing is decoded here: values are compared by a worker, in the environment that they were made in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from mlwright.compute import LocalExecutor, Place, Task
from mlwright.kernel.errors import Incompatible
from mlwright.sdk.codec_names import PICKLE, TREE
from mlwright.sdk.deviations import Now
from mlwright.sdk.frames import Frame
from mlwright.sdk.unlike import difference
from mlwright.storage import Entry, load_tree
from mlwright.tracking import Run
from mlwright.versioning import Artifact
from mlwright.workflow.judge import read_value
from mlwright.workflow.rooms import Rooms

Key = tuple[str, str]
"""A node and one of its outputs."""

_LOOKED_AT = 100
"""So many outputs are looked into; of more it is only said that they differ."""
_FILES = 20
_PATIENCE_S = 600.0


class Difference(Struct, frozen=True):
    """In which way two values differ.

    Args:
        kind: `floats within tolerance`, `floats`, `row order`, `times`, `columns`, `types`, `size`, `files`,
            `model`, `encoding` for equal values in other bytes, `values` for all else; several with commas.
        text: where, and how.
        max_absolute: of floats: the largest difference.
        max_relative: the largest as a part of the larger of two numbers.
    """

    kind: str
    text: str
    max_absolute: float | None = None
    max_relative: float | None = None


class Verdict(Struct, frozen=True):
    """One output of one step, then and now; a digest is empty where there is none.

    Args:
        difference: of one that is different, and was looked into.
        reason: why it cannot be compared, or not looked into.
    """

    node: str
    output: str
    then: str
    now: str
    verdict: Literal["identical", "different", "not comparable"]
    difference: Difference | None = None
    reason: str = ""


class Side(Struct, frozen=True):
    """One of the two runs.

    Args:
        digests: of all that it gave.
        artifacts: those of them whose bytes are here.
        values: those that are no artifacts: what a gate found, metrics.
        codecs: of those whose bytes are elsewhere.
    """

    rooms: Rooms
    run: Run
    digests: dict[Key, str]
    artifacts: dict[Key, Artifact]
    values: dict[Key, Any]
    codecs: dict[Key, str]


def verdicts(then: Side, now: Side, places: Sequence[Place]) -> tuple[Verdict, ...]:
    """Each output of either side, beside the other, in the order of the steps.

    Args:
        then: the original.
        now: the one made from it.
        places: where values may be read: the environments of the run, the project's own first.
    """
    keys = [*then.digests, *(key for key in now.digests if key not in then.digests)]
    judged = _Judged(then, now, places, list(_examples(now)))
    with closing(LocalExecutor(slots=1)) as executor:
        return tuple(judged.verdict(executor, key) for key in keys)


class _Judged(Struct):
    then: Side
    now: Side
    places: Sequence[Place]
    examples: list[Any]
    looked_at: int = 0

    def verdict(self, executor: LocalExecutor, key: Key) -> Verdict:
        then, now = self.then.digests.get(key, ""), self.now.digests.get(key, "")
        if then == now:
            return Verdict(*key, then, now, "identical")
        if not then or not now:
            which = "the run made again" if then else "the original"
            return Verdict(*key, then, now, "not comparable", reason=f"{which} did not give it")
        self.looked_at += 1
        if self.looked_at > _LOOKED_AT:
            return Verdict(*key, then, now, "different", reason="not looked into: too many differ")
        if key in self.then.values and key in self.now.values:
            told = difference(self.then.values[key], self.now.values[key], _made(self.now.run))
            return Verdict(*key, then, now, "different", Difference(**told))
        return self._of_bytes(executor, key, then, now)

    def _of_bytes(self, executor: LocalExecutor, key: Key, then: str, now: str) -> Verdict:
        sides = (self.then.artifacts.get(key), self.now.artifacts.get(key))
        if sides[0] is None or sides[1] is None:
            # A pickle of the same value may have other bytes: nothing is known. Other codecs have one form.
            unknown = PICKLE in (self.then.codecs.get(key), self.now.codecs.get(key))
            why = "the bytes of the original are not here: it was exported without --with-outputs"
            return Verdict(*key, then, now, "not comparable" if unknown else "different", reason=why)
        try:
            found = self._difference(executor, sides[0], sides[1])
        except Incompatible as error:
            return Verdict(*key, then, now, "not comparable", reason=error.message)
        return Verdict(*key, then, now, "different", found)

    def _difference(self, executor: LocalExecutor, then: Artifact, now: Artifact) -> Difference:
        """How two artifacts differ.

        Raises:
            Incompatible: one may not be, or cannot be, read.
        """
        if then.codec != now.codec:
            return Difference("types", f"{then.type} ({then.codec}) -> {now.type} ({now.codec})")
        if then.codec == TREE:
            return self._of_folders(executor, then, now)
        for each in (then, now):
            each.refuse_foreign_pickle("it")
        paths = (self.then.rooms.objects.path(then.digest), self.now.rooms.objects.path(now.digest))
        wanted = "pyarrow.Table" if then.codec == "table" else then.type
        return self._asked(executor, then.codec, wanted, paths)

    def _of_folders(self, executor: LocalExecutor, then: Artifact, now: Artifact) -> Difference:
        trees = (
            load_tree(self.then.rooms.objects, then.digest),
            load_tree(self.now.rooms.objects, now.digest),
        )
        before, after = ({entry.path: entry for entry in tree.entries} for tree in trees)
        if before.keys() != after.keys():
            gone, new = sorted(before.keys() - after.keys()), sorted(after.keys() - before.keys())
            return Difference(
                "files", f"{', '.join(gone[:_FILES]) or 'none'} -> {', '.join(new[:_FILES]) or 'none'}"
            )
        changed = [path for path in before if before[path] != after[path]]
        found = [(path, self._of_files(executor, before[path], after[path])) for path in changed[:_FILES]]
        kinds = ", ".join(dict.fromkeys(each.kind for _, each in found))
        text = f"{found[0][0]}: {found[0][1].text}"
        return Difference(kinds, text if len(changed) == 1 else f"{text}; {len(changed)} files in all")

    def _of_files(self, executor: LocalExecutor, then: Entry, now: Entry) -> Difference:
        if then.digest == now.digest:
            return Difference("files", "whether it may be executed")
        paths = (self.then.rooms.objects.path(then.digest), self.now.rooms.objects.path(now.digest))
        return self._asked(executor, "file", "pathlib.Path", paths)

    def _asked(
        self, executor: LocalExecutor, codec: str, wanted: str, paths: tuple[Path, Path]
    ) -> Difference:
        """What a worker says of two values; the first environment in which they can be read answers."""
        scratch = self.now.rooms.workspace.scratch
        scratch.mkdir(parents=True, exist_ok=True)
        sides = [{"kind": "artifact", "codec": codec, "wanted": wanted, "path": str(path)} for path in paths]
        made = _made(self.now.run)
        head = {
            "id": "compare",
            "op": "compare",
            "then": sides[0],
            "now": sides[1],
            "made_s": [made.begin_s, made.end_s],
            "examples": self.examples,
            "scratch": str(scratch),
        }
        why = ""
        for place in self.places:
            executor.submit(Task("compare", place, Frame(head), timeout_s=_PATIENCE_S))
            report = executor.wait()[0]
            if report.state == "done":
                told = {
                    name: report.head[name] for name in Difference.__struct_fields__ if name in report.head
                }
                return Difference(**told)
            error: dict[str, Any] = report.head.get("error", {})
            why = why or str(error.get("message") or report.head.get("cause", ""))
        raise Incompatible(f"it cannot be read: {why}")


def _made(run: Run) -> Now:
    """When the values of a run were made."""
    return Now(run.created_us / 1e6, (run.finished_us or run.created_us) / 1e6)


def _examples(side: Side) -> Iterable[Any]:
    """What the models of a run were asked when they were registered."""
    for (node, _), artifact in side.artifacts.items():
        if node.startswith("signature") and artifact.codec == "json":
            told = read_value(side.rooms.objects, artifact, node)
            example = told.get("example") if isinstance(told, dict) else None
            if isinstance(example, dict) and "input" in example:
                yield example["input"]
