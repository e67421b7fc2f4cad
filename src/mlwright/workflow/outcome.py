"""What an attempt left behind, taken into the store: outputs, logged artifacts, log, reports."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from mlwright.compute import Report
from mlwright.kernel.digest import Digest, digest_of
from mlwright.sdk.codec_names import PICKLE, TREE
from mlwright.sdk.workplace import LOG, shorten
from mlwright.storage import InlineObjects, Stored, scan, store_tree
from mlwright.tracking import Entry, JournalReader
from mlwright.versioning import Artifact, new_artifact
from mlwright.workflow.heard import Heard

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

_LARGE_BYTES = 8 * 2**20


class Outcome(Struct):
    """What an attempt left behind.

    Args:
        outputs: by name.
        made: each artifact with its role: outputs, and what was logged.
        inline: the bytes of those that are small, which the record of the attempt carries.
        entries: what it reported and was not read before.
    """

    outputs: dict[str, Artifact] = field(default_factory=dict)
    made: list[tuple[str, Artifact]] = field(default_factory=list)
    inline: dict[Digest, bytes] = field(default_factory=dict)
    log: Digest | None = None
    entries: list[Entry] = field(default_factory=list)

    @property
    def bytes_out(self) -> int:
        """Of all that it made."""
        return sum(artifact.size_bytes for _, artifact in self.made)


class Publisher:
    """Takes what attempts left in their scratch folders into the store."""

    def __init__(self, objects: InlineObjects, scratch: Path) -> None:
        self._objects = objects
        self._scratch = scratch
        self._pool: ThreadPoolExecutor | None = None

    def aside(
        self, report: Report, journal: JournalReader, heard: Heard, basis: str = ""
    ) -> Future[Outcome] | None:
        """Publish in a thread what would hold up everything else; None for what takes no time."""
        outputs = report.head.get("outputs", ())
        told = [each["path"] for each in outputs if "path" in each]
        if not any("folder" in each for each in outputs) and (
            not told or sum(os.stat(path).st_size for path in told) < _LARGE_BYTES  # noqa: PTH116 - hot
        ):
            return None
        from concurrent.futures import ThreadPoolExecutor  # 16 ms, for those who have large outputs

        self._pool = self._pool or ThreadPoolExecutor(1, "mlwright-publisher")
        return self._pool.submit(self.publish, report, journal, heard, basis)

    def publish(self, report: Report, journal: JournalReader, heard: Heard, basis: str = "") -> Outcome:
        """All that an attempt left; on return every byte that is not inline is durable.

        Args:
            heard: what was read from the journal before; it learns the rest.
            basis: the digest of the code and packages of its step, where it has a fingerprint.
        """
        if report.state in {"died", "timed out"}:
            return self.salvage(report.worker, journal, heard)
        outcome = Outcome()
        for told in report.head.get("outputs", ()):
            artifact = self._output(told, report.parts, outcome, basis)
            outcome.outputs[told["name"]] = artifact
            outcome.made.append((f"output:{told['name']}", artifact))
        if "log" in report.head:
            outcome.log = self._objects.put(Path(report.head["log"]), take=True).digest
        if report.head.get("journal"):
            self._reported(journal, outcome, heard)
        return outcome

    def salvage(self, worker: str, journal: JournalReader, heard: Heard) -> Outcome:
        """What is there of an attempt whose worker can no longer say."""
        outcome = Outcome()
        log = self._scratch / worker / LOG
        if worker and log.exists() and log.stat().st_size:
            shorten(log)
            outcome.log = self._objects.put(log, take=True).digest
        self._reported(journal, outcome, heard)
        return outcome

    def _output(
        self, told: dict[str, Any], parts: tuple[bytes, ...], outcome: Outcome, basis: str
    ) -> Artifact:
        if told["codec"] == PICKLE and basis:
            told["about"]["basis"] = basis
        if told["codec"] == TREE:
            stored = self._folder(Path(told["folder"]))
        elif "path" in told:
            stored = self._objects.put(Path(told["path"]), take=True)
        else:
            data = parts[told["part"]]
            stored = Stored(digest_of(data), len(data))
            outcome.inline[stored.digest] = data
        return self._artifact(told["codec"], told["type"], told["about"], stored)

    def _folder(self, folder: Path) -> Stored:
        """A folder as a tree; the copy that the worker made of it is taken away."""
        digest, tree = store_tree(self._objects.packs, scan(folder))
        shutil.rmtree(folder, ignore_errors=True)
        return Stored(digest, tree.size_bytes)

    def _reported(self, journal: JournalReader, outcome: Outcome, heard: Heard) -> None:
        outcome.entries = journal.read()
        heard.learn(outcome.entries)
        for name, each in heard.logged.items():
            if each.path.exists():
                stored = self._objects.put(each.path, take=True)
                artifact = self._artifact(each.codec, each.type_text, each.about, stored)
                outcome.made.append((f"logged:{name}", artifact))

    @staticmethod
    def _artifact(codec: str, type_text: str, about: dict[str, Any], stored: Stored) -> Artifact:
        return new_artifact(
            codec=codec,
            type_text=type_text,
            digest=stored.digest,
            size_bytes=stored.size_bytes,
            about=about,
            ours=True,
        )
