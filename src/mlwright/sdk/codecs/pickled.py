"""The last resort: pickle, for values that no codec takes. Loading one runs whatever its bytes say.

Two laws of codecs cannot hold here. Equal values may have different bytes: what refers to what in memory
shows in them. And decode runs what is in the bytes, that is what pickle means. So the engine hands a pickle
only to a worker or a replica, and only one that an attempt of its own executor wrote
(`mlwright.versioning.Artifact.refuse_foreign_pickle`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlwright.kernel.errors import Invalid
from mlwright.sdk.codec_names import PICKLE
from mlwright.sdk.types import a_type, type_name

_PROTOCOL = 5
RETURNED = "return a table, an array, a model, a figure, text, bytes, a Path or JSON values"


class PickleCodec:
    """Any value that pickle takes; by cloudpickle where the step's environment has it."""

    name = PICKLE
    distributions: tuple[str, ...] = ()
    dumps = loads = None

    def matches(self, value: Any) -> bool:
        """Always: whether it can be pickled shows when it is."""
        return True

    def encode(self, value: Any, path: Path) -> None:
        """The value's pickle.

        Raises:
            Invalid: it cannot be pickled: a lock, an open file, a generator.
        """
        try:
            with path.open("wb") as file:
                _pickler().dump(value, file, protocol=_PROTOCOL)
        except Exception as error:  # a class says in its own words why it cannot be pickled
            path.unlink(missing_ok=True)
            raise Invalid(
                f"{a_type(type(value))} can be stored by no codec, and not as pickle either:"
                f" {type(error).__name__}: {error}",
                hint=RETURNED,
            ) from error

    def decode(self, path: Path, wanted: str, scratch: Path) -> Any:
        """The value. Whoever calls this knows that the bytes are their own.

        Raises:
            Invalid: what it needs is not here, or is another than it was.
        """
        import pickle

        try:
            with path.open("rb") as file:
                return pickle.load(file)  # noqa: S301 - by the law in this module's docstring
        except Exception as error:
            raise Invalid(
                f"{wanted or 'a value'} that was stored as pickle cannot be loaded:"
                f" {type(error).__name__}: {error}",
                hint="its classes must be importable here, as they were where it was made;"
                " if they have changed, make it again: mlwright run PIPELINE --no-cache",
            ) from error

    def describe(self, value: Any) -> dict[str, Any]:
        """That it is not safe to load, and what wrote it."""
        return {"unsafe": True, "by": _pickler().__name__}


def reason(value: Any) -> str:
    """Why a value comes to the last resort, in words that tell how it need not."""
    if any(each.__module__ == "torch.nn.modules.module" for each in type(value).__mro__):
        return f"{type_name(type(value))} has no codec; return model.state_dict(), which is stored safely"
    if type(value) in (tuple, set, frozenset):
        return f"{a_type(type(value))} is no JSON value, as a list of JSON values is"
    if type(value) in (list, dict):
        return f"{a_type(type(value))} with something in it that is no JSON value"
    return f"{a_type(type(value))} has no codec of its own"


def _pickler() -> Any:
    import importlib.util

    if importlib.util.find_spec("cloudpickle") is not None:
        import cloudpickle

        return cloudpickle
    import pickle

    return pickle
