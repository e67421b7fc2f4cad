"""The registry of models with all that needs other rooms: steps, workers, environments, code."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlwright.kernel.errors import Incompatible
from mlwright.kernel.ids import short
from mlwright.kernel.plan import Plan
from mlwright.kernel.progress import SILENT, Progress
from mlwright.tracking.run import REPORTED
from mlwright.versioning import Conversion, ModelDetail, Models, Version
from mlwright.versioning.cards import CardChange, CardFacts, Cards, generated
from mlwright.workflow.model_export import export_model, how_to_load, plan_export
from mlwright.workflow.model_mlflow import is_mlflow
from mlwright.workflow.rooms import Rooms
from mlwright.workflow.watch import Unwatched, Watcher

if TYPE_CHECKING:
    from mlwright.workflow.model_compare import ModelComparison
    from mlwright.workflow.model_verify import VerifiedModel
    from mlwright.workflow.registration import Registering

Say = Callable[[str], object]


def _silent(what: str) -> None:
    """For who does not listen."""


class Registry(Models):
    """The models of a workspace."""

    def __init__(self, rooms: Rooms) -> None:
        super().__init__(rooms.database)
        self._rooms = rooms
        self._cards = Cards(rooms.database, rooms.objects)

    def plan_register(self, source: str, name: str, **options: str) -> Plan:
        """What `register` would do; nothing is loaded.

        Raises:
            NotFound, Invalid: as `register`.
        """
        from mlwright.workflow.registration import plan_register

        return plan_register(self._rooms, _wanted(source, name, options))

    def register(
        self, source: str, name: str, *, say: Say | None = None, **options: str
    ) -> tuple[Version, str]:
        """Make a model a version: what a step made, or a file from elsewhere.

        Of what a step made the signature is the one that a pipeline's `register` has asked for already, else
        it is asked for now, with the tables that the step was given; metrics are those of its run.

        Args:
            source: `RUN/STEP` or `RUN/STEP:OUTPUT`, `b3:DIGEST`, or the path of a file: skops, XGBoost's
                UBJSON or JSON, LightGBM's text, CatBoost's .cbm, .safetensors, .onnx; or a pickle, which is
                recorded and never loaded.
            name: of the model.
            say: is told what takes long.
            options: `message`, why this version exists; `example`, what to ask the model with (a file, or
                RUN/STEP:OUTPUT); `predictor`, the class of the project that answers with it, as
                `module:Class`; `licence`, an SPDX name, instead of what the project's `pyproject.toml`
                says; of a file also `environment`, the name of the project's environment that it is loaded
                in, and `format`, if its bytes do not tell.

        Returns:
            The version, and what was done in words.

        Raises:
            NotFound: there is no such output or file.
            Invalid: it is no model, its format is not known, or nothing tells its signature.
            Incompatible: an example is given for a pickle from elsewhere.
            Unavailable: its library is not in the environment, or that cannot be built.
            WorkFailed: it cannot be read, or does not answer the example.
        """
        from mlwright.workflow.registration import register_model

        return register_model(self._rooms, _wanted(source, name, options), say or _silent)

    def compare(
        self, first: str, second: str, *, on: str = "", watcher: Watcher | None = None
    ) -> ModelComparison:
        """Two versions side by side: metrics, parameters, data, code, environment, size, signature.

        Args:
            on: a dataset's reference: both are evaluated on it, in a run, by the step that evaluated the
                first of them that a pipeline made, each in its own environment. What was evaluated before is
                reused.

        Raises:
            NotFound: there is no such version, or no such dataset.
            Invalid: they are one version; or no step evaluated either of them on such data.
            WorkFailed: the evaluating step failed.
        """
        from mlwright.workflow.model_compare import compare_models

        sides = self.detail(first), self.detail(second)
        return compare_models(self._rooms, *sides, on, watcher or Unwatched())

    def plan_convert(self, reference: str, *, again: bool = False) -> Plan:
        """What `convert` would do.

        Raises:
            NotFound: there is no such version.
        """
        from mlwright.workflow.conversion import plan_convert

        return plan_convert(self.detail(reference), again=again)

    def convert(self, reference: str, *, again: bool = False, say: Say | None = None) -> Conversion:
        """Convert a version of scikit-learn, XGBoost or LightGBM to ONNX, so that a server answers with that.

        It is used only if it answers as the model does on the table of its training; the verdict is recorded
        whichever way it went, and asked for once.

        Args:
            again: convert also what was converted before.
            say: is told what takes long.

        Raises:
            NotFound: there is no such version.
        """
        from mlwright.workflow.conversion import convert_model

        return convert_model(self._rooms, self.detail(reference), say or _silent, again=again)

    def plan_export(self, reference: str, dest: str | Path, *, form: str = "", force: bool = False) -> Plan:
        """What `export` would write.

        Raises:
            NotFound, Conflict, Invalid, Incompatible: as `export`.
        """
        return plan_export(self._rooms, self.detail(reference), Path(dest).absolute(), form=form, force=force)

    def export(
        self,
        reference: str,
        dest: str | Path,
        *,
        form: str = "",
        force: bool = False,
        progress: Progress = SILENT,
    ) -> dict[str, Any]:
        """Write a version into a folder that needs no mlwright.

        It holds the model in its library's own format, `signature.json`, `example.json`, `pylock.toml`, the
        card as `README.md`, and `model.json`, which names every file with its digests.

        Args:
            dest: a folder that is not there, or empty.
            form: `mlflow` for a folder with an `MLmodel`, which MLflow loads.
            force: replace an export that is there.

        Returns:
            What stands in `model.json`; of a folder for MLflow, its `model`, `format` and `files`.

        Raises:
            NotFound: there is no such version, or its bytes are lost.
            Invalid: there is no such form.
            Incompatible: MLflow cannot load such a model.
            Conflict: something is there.
            Corrupt: its bytes are damaged; nothing is written.
        """
        detail = self.detail(reference)
        card, target = self._card(detail), Path(dest).absolute()
        return export_model(self._rooms, detail, card, target, form=form, force=force, progress=progress)

    def verify(
        self, references: Sequence[str] = (), *, say: Say | None = None, progress: Progress = SILENT
    ) -> list[VerifiedModel]:
        """Whether versions are what their records say; what is wrong is told, not raised.

        All bytes are read and held against their digests; each model is loaded by its codec in its own
        environment, and asked about its example.

        Args:
            references: by default every version that has a name here.
            say: is told what takes long.

        Raises:
            NotFound: there is no such version.
        """
        from mlwright.workflow.model_verify import verify_model, verify_taken_over

        found = [self.versions.resolve(each) for each in references] or [
            version for newest in self.versions.newest() for version in self.versions.named(newest.name)
        ]
        looked = []
        for version in found:
            if self.versions.is_taken_over(version):
                looked.append(verify_taken_over(self._rooms, version, progress))
                continue
            detail, cards = self.detail(version.reference), self._cards.digests(version)
            looked.append(verify_model(self._rooms, detail, cards, say or _silent, progress))
        return looked

    def card(self, reference: str, *, written: bool = True) -> str:
        """The model card, Markdown: as it was last written, else as the records have it.

        Args:
            written: False for what the records have, whatever was written.

        Raises:
            NotFound: there is no such version.
        """
        return self._card(self.detail(reference), written=written)

    def card_history(self, reference: str) -> Sequence[CardChange]:
        """Who wrote the card, when and why; oldest first.

        Raises:
            NotFound: there is no such version.
        """
        return self._cards.history(self.versions.resolve(reference))

    def plan_write_card(self, reference: str, text: str) -> Plan:
        """What `write_card` would do.

        Raises:
            NotFound, Invalid: as `write_card`.
        """
        return self._cards.plan_write(self.versions.resolve(reference), text)

    def write_card(self, reference: str, text: str, *, reason: str = "") -> Plan:
        """Write the model card by hand; the texts before it stay, with who, when and why.

        Raises:
            NotFound: there is no such version.
            Invalid: the text is empty, or longer than 1 MiB.
        """
        return self._cards.write(self.versions.resolve(reference), text, reason=reason)

    def servable(self, reference: str) -> ModelDetail:
        """A version that a replica can answer with.

        Raises:
            NotFound: there is no such version.
            Incompatible: it is a pickle that no run of this workspace made, or has no signature.
        """
        detail = self.detail(reference)
        detail.artifact.refuse_foreign_pickle(detail.version.reference)
        if is_mlflow(detail.artifact):
            raise Incompatible(
                f"{detail.version.reference} was logged by a client of MLflow's: it is never loaded here",
                hint=f"load it there: mlflow.pyfunc.load_model('models:/{detail.version.name}"
                f"/{detail.version.number}')",
            )
        if detail.signature is None and detail.artifact.codec == "torch":
            raise Incompatible(
                f"{detail.version.reference} is a state dict of torch: weights, which alone cannot answer",
                hint="write a predictor, a class whose `load` builds the network and gives it the weights,"
                " and register it with that: --predictor module:Class --example FILE (docs/predictors.md)",
            )
        if detail.signature is None:
            raise Incompatible(
                f"{detail.version.reference} has no signature: it is not known what it is asked with",
                hint="register its file under another name, with --example TABLE.csv",
            )
        return detail

    def list(self, name: str = "") -> list[Version]:
        """The newest version under each name; or every version under one, newest first.

        Raises:
            NotFound: there is no such name.
        """
        if not name:
            return self.versions.newest()
        return self.versions.named(self.versions.resolve(name).name)

    def _card(self, detail: ModelDetail, *, written: bool = True) -> str:
        text = self._cards.written(detail.version) if written else None
        return generated(detail, self._facts(detail)) if text is None else text

    def _facts(self, detail: ModelDetail) -> CardFacts:
        rooms = self._rooms
        made_by = code = environment = ""
        reproduce: list[str] = []
        packages: list[str] = []
        if detail.run:
            run = rooms.runs.get(detail.run)
            reported = run.kind == REPORTED
            made_by = (
                f"run {run.id}, reported from outside" if reported else f"run {run.id} of {run.pipeline}"
            )
            reproduce = [] if reported else [f"mlwright runs reproduce {short(run.id)}"]
        if detail.code:
            snapshot = rooms.snapshots.get(detail.code)
            commit = f", commit {snapshot.git_commit}" if snapshot.git_commit else ""
            remote = f" of {snapshot.git_remote}" if snapshot.git_remote and commit else ""
            changed = " with changes" if snapshot.dirty and commit else ""
            code = f"b3:{snapshot.digest}{commit}{remote}{changed}"
        if detail.environment:
            lock = rooms.environments.get(detail.environment)
            environment = f"b3:{lock.digest}, Python {lock.python}, {lock.platform}"
            locked = tomllib.loads(rooms.environments.text(lock).decode()).get("packages", [])
            versions = {each["name"]: each.get("version", "") for each in locked}
            packages = [f"{name} {versions[name]}" for name in _libraries(detail) if name in versions]
        return CardFacts(
            made_by, code, environment, tuple(packages), tuple(reproduce), tuple(how_to_load(detail))
        )


def _libraries(detail: ModelDetail) -> tuple[str, ...]:
    from mlwright.sdk.codecs import CODECS

    mine = next((codec for codec in CODECS if codec.name == detail.artifact.codec), None)
    return ("pandas", "numpy", *(mine.distributions if mine is not None else ()))


def _wanted(source: str, name: str, options: dict[str, str]) -> Registering:
    from mlwright.workflow.registration import Registering

    return Registering(source, name, **options)
