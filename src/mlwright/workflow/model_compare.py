"""Two model versions side by side: what they are, what they were made from, and how well they do."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from mlwright.kernel.digest import Digest
from mlwright.kernel.edges import End
from mlwright.kernel.errors import Invalid
from mlwright.versioning import ModelDetail, Signature
from mlwright.workflow.compare import Changed, MetricChange, changes_between, metric_change, packages_behind
from mlwright.workflow.evaluation import Evaluated, evaluate
from mlwright.workflow.rooms import Rooms
from mlwright.workflow.watch import Watcher


class ModelComparison(Struct, frozen=True):
    """Two versions. What is the same is left out, but for metrics and what they were evaluated to.

    Args:
        first: the one that differences count from.
        same_bytes: whether they are one model under two names or numbers.
        model: type, format, size, licence.
        metrics: as they were recorded, each on the data of its own run.
        signature: columns by name, and the output.
        data: dataset versions that their runs read, by what asked for them; none if one has no run on record.
        code: files, by the digest of their bytes; likewise.
        packages: of the environments that they are loaded in.
        on: what both were given on the same data, if that was asked for.
        evaluated: those scores.
    """

    first: ModelDetail
    second: ModelDetail
    same_bytes: bool
    model: tuple[Changed, ...]
    metrics: tuple[MetricChange, ...]
    parameters: tuple[Changed, ...]
    signature: tuple[Changed, ...]
    data: tuple[Changed, ...]
    code: tuple[Changed, ...]
    packages: tuple[Changed, ...]
    on: Evaluated | None = None
    evaluated: tuple[MetricChange, ...] = ()


def compare_models(
    rooms: Rooms, first: ModelDetail, second: ModelDetail, on: str, watcher: Watcher
) -> ModelComparison:
    """What differs between two versions.

    Args:
        on: a dataset that both are to be evaluated on; empty for none.

    Raises:
        Invalid: they are one version; or, with `on`, as `mlwright.workflow.evaluation.evaluate`.
        NotFound: a record behind one of them is not here.
        WorkFailed: the evaluating step failed.
    """
    if first.version.id == second.version.id:
        raise Invalid(
            f"{first.version.reference} is one version: there is nothing to compare",
            hint=f"name another: mlwright models list {first.version.name}",
        )
    found = evaluate(rooms, (first, second), on, watcher) if on else None
    both = bool(first.run and second.run)
    return ModelComparison(
        first=first,
        second=second,
        same_bytes=first.version.digest == second.version.digest,
        model=tuple(changes_between(_told(first), _told(second))),
        metrics=_metrics(first.metrics, second.metrics),
        parameters=tuple(changes_between(first.parameters, second.parameters)),
        signature=tuple(changes_between(_columns(first.signature), _columns(second.signature))),
        data=tuple(changes_between(first.data, second.data)) if both else (),
        code=tuple(changes_between(_files(rooms, first), _files(rooms, second))) if both else (),
        packages=tuple(changes_between(_packages(rooms, first), _packages(rooms, second))),
        on=found,
        evaluated=()
        if found is None
        else _metrics(*(found.scores[each.version.reference] for each in (first, second))),
    )


def _told(detail: ModelDetail) -> dict[str, Any]:
    return {
        "type": detail.artifact.type,
        "format": detail.artifact.codec,
        "size_bytes": detail.version.size_bytes,
        "licence": detail.licence,
    }


def _metrics(then: dict[str, float], now: dict[str, float]) -> tuple[MetricChange, ...]:
    return tuple(metric_change(name, then.get(name), now.get(name)) for name in sorted({*then, *now}))


def _columns(signature: Signature | None) -> dict[str, str]:
    """Each column and the output in words, so that what differs can be read."""
    if signature is None:
        return {}
    found = {each.name: each.told for each in signature.named}
    if signature.predictor:
        found["(predictor)"] = signature.predictor
    for each in signature.inputs:
        words = each.type + (" or null" if each.nullable else "")
        if each.minimum is not None and each.maximum is not None:
            words += f", {each.minimum:g} to {each.maximum:g}"
        if each.categories is not None:
            words += f", {len(each.categories)} categories: {', '.join(map(str, each.categories[:10]))}"
        found[each.name] = words
    shares = ", with probabilities" if signature.probabilities else ""
    return found | {"(output)": f"{signature.answer}{shares}"}


def _files(rooms: Rooms, detail: ModelDetail) -> dict[str, Digest]:
    if not detail.code:
        return {}
    tree = rooms.snapshots.tree(rooms.snapshots.get(detail.code))
    return {entry.path: entry.digest for entry in tree.entries}


def _packages(rooms: Rooms, detail: ModelDetail) -> dict[str, str]:
    if not detail.environment:
        lines = detail.version.about.get("known", {}).get("requirements", ())
        return {name: version for name, _, version in (line.partition("==") for line in lines)}
    return packages_behind(rooms, {"environment": End("lock", detail.environment)})
