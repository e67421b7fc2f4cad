"""scikit-learn models, as skops: a zip of JSON and .npy that runs nothing when it is read.

skops names parts by their addresses in memory and stamps them with the time. Here they are numbered in
the order they stand in, at one fixed date, so that equal models have equal bytes.
"""

from __future__ import annotations

import io
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

from mlwright.kernel.errors import Invalid

_AUDITED = {"sklearn", "numpy", "scipy"}
"""Libraries whose types may be built from a file: what skops itself does not know, but these define."""
_DATE = (1980, 1, 1, 0, 0, 0)
_SCHEMA = "schema.json"


class SklearnCodec:
    """Estimators, transformers and pipelines made of types of scikit-learn, NumPy and SciPy."""

    name = "sklearn"
    libraries = ("sklearn",)
    distributions: tuple[str, ...] = ("scikit-learn", "skops")

    def matches(self, value: Any) -> bool:
        """Whether it is an estimator."""
        base = sys.modules.get("sklearn.base")
        return base is not None and isinstance(value, base.BaseEstimator)

    def encode(self, value: Any, path: Path) -> None:
        """Canonical skops bytes.

        Raises:
            Invalid: the model holds types that no reader would be allowed to build.
        """
        import skops.io

        raw = skops.io.dumps(value)
        _refuse_foreign(skops.io.get_untrusted_types(data=raw), "this model")
        path.write_bytes(_canonical(raw))

    def decode(self, path: Path, wanted: str, scratch: Path) -> Any:
        """The model.

        Raises:
            Invalid: the file asks for types outside scikit-learn, NumPy and SciPy.
        """
        import skops.io

        unknown = skops.io.get_untrusted_types(file=path)
        _refuse_foreign(unknown, f"the model file {path.name[:12]}")
        return skops.io.load(path, trusted=unknown)

    def describe(self, value: Any) -> dict[str, Any]:
        """The class, and the names of the features it was fitted with."""
        described: dict[str, Any] = {"class": type(value).__name__}
        if hasattr(value, "feature_names_in_"):
            described["features"] = [str(name) for name in value.feature_names_in_]
        return described


def _refuse_foreign(types: list[str], what: str) -> None:
    foreign = [name for name in types if name.partition(".")[0] not in _AUDITED]
    if foreign:
        raise Invalid(
            f"{what} holds types that are not safe to load: {', '.join(foreign)}",
            hint="use estimators of scikit-learn, and keep your own functions in a step before the model",
        )


def _canonical(raw: bytes) -> bytes:
    """Equal models, equal bytes: number the parts, sort the zip, fix its dates."""
    with zipfile.ZipFile(io.BytesIO(raw)) as source:
        parts = {name: source.read(name) for name in source.namelist()}
    schema = json.loads(parts.pop(_SCHEMA))
    numbers: dict[int, int] = {}
    files: dict[str, str] = {}

    def renumber(node: Any) -> None:
        if isinstance(node, dict):
            if "__id__" in node:
                # Whether two equal leaves are one object in memory is an accident; it is not kept.
                leaf = node.get("__loader__") == "JsonNode"
                key = -1 - len(numbers) if leaf else node["__id__"]
                node["__id__"] = numbers.setdefault(key, len(numbers))
            if node.get("file") in parts:
                old = node["file"]
                node["file"] = files.setdefault(old, f"{len(files)}{Path(old).suffix}")
            for child in node.values():
                renumber(child)
        elif isinstance(node, list):
            for child in node:
                renumber(child)

    renumber(schema)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        entries = {files[name]: data for name, data in parts.items() if name in files}
        entries[_SCHEMA] = json.dumps(schema, separators=(",", ":")).encode()
        for name in sorted(entries):
            info = zipfile.ZipInfo(name, _DATE)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, entries[name], compresslevel=1)
    return target.getvalue()
