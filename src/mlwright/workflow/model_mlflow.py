"""A model version as the folder that MLflow's clients load: `MLmodel`, and what its library takes.

A version that such a client registered is that folder already. Of one that was made here it is written from
what is on record; what MLflow could load only by running code of ours, it cannot have.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from mlwright.environments.pylocks import pins_of_indexes
from mlwright.kernel.digest import Digest
from mlwright.kernel.errors import Incompatible
from mlwright.sdk.codec_names import TREE
from mlwright.sdk.codecs.models import AUDITED
from mlwright.storage import Entry, load_tree
from mlwright.versioning import Artifact, ModelDetail
from mlwright.versioning.signatures import Column, Signature
from mlwright.workflow.artifacts import SUFFIXES
from mlwright.workflow.mlmodel import MLMODEL, REQUIREMENTS
from mlwright.workflow.rooms import Rooms

EXAMPLE = "input_example.json"
Folder = dict[str, bytes | Entry]
"""Files by path: their bytes, or where these are stored."""

_TYPES = {"number": "double", "integer": "long", "boolean": "boolean", "string": "string"}
_CLASSES = {
    "xgboost": {"Booster": "xgboost.core.Booster"},
    "lightgbm": {"Booster": "lightgbm.basic.Booster"},
}
_LIBRARIES = {
    "sklearn": "scikit-learn",
    "xgboost": "xgboost",
    "lightgbm": "lightgbm",
    "catboost": "catboost",
    "onnx": "onnx",
}
_VERSIONS = {
    "sklearn": "sklearn_version",
    "xgboost": "xgb_version",
    "lightgbm": "lgb_version",
    "catboost": "catboost_version",
    "onnx": "onnx_version",
}


def mlflow_folder(rooms: Rooms, detail: ModelDetail) -> Folder:
    """The files of a version, as MLflow's clients have them.

    Raises:
        Incompatible: MLflow has no way to load such a model without running code of ours.
        NotFound, Corrupt: what they are made of is lost or damaged.
    """
    artifact = detail.artifact
    if is_mlflow(artifact):
        return {each.path: each for each in load_tree(rooms.objects, artifact.digest).entries}
    _refuse_unfit(detail)
    name = f"model{SUFFIXES[artifact.codec]}"
    packages = _packages(rooms, detail)
    python = rooms.environments.get(detail.environment).python if detail.environment else ""
    folder: Folder = {name: Entry(name, artifact.size_bytes, artifact.digest)}
    if packages:
        folder[REQUIREMENTS] = "".join(f"{line}\n" for line in packages.values()).encode()
        folder["python_env.yaml"] = _yaml({"python": python, "dependencies": [f"-r {REQUIREMENTS}"]})
        pip = "".join(f"  - {json.dumps(line)}\n" for line in packages.values())
        head = _yaml({"name": "mlflow-env", "channels": ["conda-forge"]}).decode()
        folder["conda.yaml"] = f"{head}dependencies:\n- python={python}\n- pip\n- pip:\n{pip}".encode()
    described = _described(rooms, detail, name, packages, python)
    if detail.signature is not None and detail.signature.table:
        example = detail.signature.example.input
        folder["input_example.json"] = json.dumps(
            {"columns": [*example], "data": [[*example.values()]]}
        ).encode()
    folder[MLMODEL] = _yaml(described)
    return folder


def is_mlflow(artifact: Artifact) -> bool:
    """Whether it is a folder that a client of MLflow's logged."""
    return artifact.codec == TREE and not artifact.ours and artifact.type.startswith("mlflow")


def _refuse_unfit(detail: ModelDetail) -> None:
    artifact, reference = detail.artifact, detail.version.reference
    kind = artifact.about.get("class", artifact.type.rpartition(".")[2])
    why = ""
    if artifact.codec not in _LIBRARIES:
        why = f"it is stored as {artifact.codec}, which MLflow loads only by running what it says"
    elif detail.signature is not None and detail.signature.predictor:
        why = f"the class {detail.signature.predictor} of this project answers with it"
    elif artifact.codec == "lightgbm" and kind != "Booster":
        why = "MLflow knows LightGBM's estimators as pickles alone"
    if why:
        raise Incompatible(
            f"{reference} cannot be a model of MLflow's: {why}",
            hint=f"serve it, or write it for its own library: mlwright models export {reference} DIR",
        )


def _described(
    rooms: Rooms, detail: ModelDetail, name: str, packages: Mapping[str, str], python: str
) -> dict[str, Any]:
    """What stands in `MLmodel`."""
    codec = detail.artifact.codec
    env = {"env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"}} if packages else {}
    own: dict[str, Any] = {"code": None, "data": name}
    if library := packages.get(_LIBRARIES[codec], ""):
        own[_VERSIONS[codec]] = library.partition("==")[2].partition(" ")[0]
    function: dict[str, Any] = {"loader_module": f"mlflow.{codec}", "data": name, **env}
    kind = detail.artifact.about.get("class", detail.artifact.type.rpartition(".")[2])
    match codec:
        case "sklearn":
            function = {"loader_module": "mlflow.sklearn", "model_path": name, "predict_fn": "predict", **env}
            own["pickled_model"] = own.pop("data")
            own["serialization_format"] = "skops"
            own["skops_trusted_types"] = _trusted(rooms, detail.artifact.digest)
        case "xgboost" | "lightgbm":
            own["model_class"] = _CLASSES[codec].get(kind, f"xgboost.sklearn.{kind}")
            own |= {"model_format": "ubj"} if codec == "xgboost" else {}
        case "catboost":
            own |= {"model_type": kind, "save_format": "cbm"}
        case "onnx":
            own["providers"] = ["CPUExecutionProvider"]
    function |= {"python_version": python} if python else {}
    made = datetime.fromtimestamp(detail.version.created_us / 1_000_000, UTC)
    described: dict[str, Any] = {
        "flavors": {"python_function": function, codec: own},
        "model_size_bytes": detail.artifact.size_bytes,
        "model_uuid": detail.version.id,
        "utc_time_created": made.strftime("%Y-%m-%d %H:%M:%S.%f"),
        "metadata": {"mlwright": {"model": detail.version.reference, "blake3": detail.version.digest}},
    }
    described |= {"run_id": detail.run} if detail.run else {}
    if detail.signature is not None and detail.signature.table:
        described["signature"] = _signature(detail.signature)
        described["saved_input_example_info"] = {
            "artifact_path": EXAMPLE,
            "pandas_orient": "split",
            "type": "dataframe",
        }
    return described


def _signature(signature: Signature) -> dict[str, Any]:
    inputs = [
        {"name": each.name, "type": _type(each), "required": not each.nullable} for each in signature.inputs
    ]
    outputs = [{"type": _TYPES[signature.output.type]}]
    return {"inputs": json.dumps(inputs), "outputs": json.dumps(outputs), "params": None}


def _type(column: Column) -> str:
    """A type in MLflow's words: an integer that may be missing is a float there, as in NumPy."""
    return "double" if column.type == "integer" and column.nullable else _TYPES[column.type]


def _packages(rooms: Rooms, detail: ModelDetail) -> dict[str, str]:
    """The lines of a `requirements.txt` by name: what the lock has that an index can give."""
    if not detail.environment:
        return {}
    lock = rooms.environments.get(detail.environment)
    return pins_of_indexes(rooms.environments.text(lock))


def _trusted(rooms: Rooms, digest: Digest) -> list[str]:
    """The types that a skops file names, of those that we let it build."""
    named: set[str] = set()

    def look(node: Any) -> None:
        if isinstance(node, dict):
            for module, word in (("__module__", "__class__"), ("module_path", "function")):
                if isinstance(node.get(word), str):
                    named.add(f"{node.get(module)}.{node[word]}")
            for child in node.values():
                look(child)
        elif isinstance(node, list):
            for child in node:
                look(child)

    with zipfile.ZipFile(rooms.objects.path(digest)) as archive:
        look(json.loads(archive.read("schema.json")))
    return sorted(named & AUDITED)


def _yaml(value: Mapping[str, Any], indent: str = "") -> bytes:
    """Plain values as YAML; every text stands in the quotes of JSON."""
    lines = []
    for key, each in value.items():
        if isinstance(each, dict) and each:
            lines += [f"{indent}{key}:", _yaml(each, f"{indent}  ").decode().rstrip("\n")]
        elif isinstance(each, list) and each:
            lines += [f"{indent}{key}:", *(f"{indent}- {json.dumps(item)}" for item in each)]
        else:
            lines.append(f"{indent}{key}: {json.dumps(each)}")
    return "".join(f"{line}\n" for line in lines).encode()
