"""Model files that were made elsewhere: which format they have, told by their first bytes and their name."""

from __future__ import annotations

import zipfile
from pathlib import Path

from mlwright.kernel.errors import Invalid, NotFound
from mlwright.sdk.codec_names import PICKLE

FORMATS = ("sklearn", "xgboost", "lightgbm", "catboost", "torch", "onnx", PICKLE)
"""By the codecs that read them."""
_NAMES = {
    ".skops": "sklearn",
    ".ubj": "xgboost",
    ".xgb": "xgboost",
    ".cbm": "catboost",
    ".safetensors": "torch",
    ".onnx": "onnx",
    ".pickle": PICKLE,
    ".pkl": PICKLE,
    ".joblib": PICKLE,
}
_HEAD_BYTES = 4096
_KNOWN = (
    "skops, XGBoost's UBJSON or JSON, LightGBM's text, CatBoost's .cbm, .safetensors, .onnx; a pickle is"
    " recorded and never loaded"
)


def format_of(path: Path, named: str = "") -> str:
    """The codec that reads a model file.

    Args:
        named: what the caller says it is; empty for what its bytes and name say.

    Raises:
        NotFound: there is no such file.
        Invalid: it is no file, no known format, or not what it is named.
    """
    if not path.exists():
        raise NotFound(f"there is no file {path}", hint="name a file, or a step's output: RUN/STEP")
    if not path.is_file():
        raise Invalid(f"{path} is no file", hint=f"known are: {_KNOWN}")
    if named and named not in FORMATS:
        raise Invalid(f"there is no model format `{named}`", hint=f"one of {', '.join(FORMATS)}")
    found = _told_by_bytes(path) or _NAMES.get(path.suffix.lower(), "")
    if not (named or found):
        raise Invalid(
            f"it cannot be told what kind of model {path} is", hint=f"known are: {_KNOWN}; --format"
        )
    if found == PICKLE and named not in {"", PICKLE}:
        raise Invalid(
            f"{path} is a pickle, not {named}", hint="leave out --format: it is recorded, not loaded"
        )
    return named or found


def _told_by_bytes(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if head[:1] == b"\x80" and head[1:2] in {b"\x02", b"\x03", b"\x04", b"\x05"}:
        return PICKLE
    if head.startswith(b"tree\n"):
        return "lightgbm"
    if head.startswith(b"CBM1"):
        return "catboost"
    if head.startswith(b"{L") or (head.lstrip()[:1] == b"{" and b'"learner"' in head):
        return "xgboost"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 100 * 2**20 and path.suffix != ".onnx":
        return "torch"
    return "sklearn" if _is_skops(path, head) else ""


def _is_skops(path: Path, head: bytes) -> bool:
    """A zip with skops' description in it. Names are read, nothing is unpacked."""
    if not head.startswith(b"PK"):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return "schema.json" in archive.namelist()
    except zipfile.BadZipFile:
        return False
