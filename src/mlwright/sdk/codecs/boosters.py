"""Boosted trees of XGBoost, LightGBM and CatBoost, each in its library's own format.

These formats keep the trees and the names of the features, not all of the Python object around them: that is
told beside, in a field that the library leaves to its users, and nothing is run to bring it back. A file that
the library wrote by itself tells less, and becomes the estimator that answers as the library would.
"""

from __future__ import annotations

import json
import sys
from collections import OrderedDict, defaultdict
from pathlib import Path
from types import ModuleType
from typing import Any

from mlwright.kernel.errors import Invalid
from mlwright.sdk.codecs.unstorable import Unstorable
from mlwright.sdk.types import a_type

_FIELD = "mlwright"
"""Where in a native file the rest of the object is told."""

_TRAINED = ("model_guid", "train_finish_time")
"""What CatBoost writes of the training, and not of the model."""

_KINDS = "biufU"


class XgboostCodec:
    """`Booster` and the estimators of XGBoost, as UBJSON (`.ubj`)."""

    name = "xgboost"
    libraries = ("xgboost",)
    distributions: tuple[str, ...] = ("xgboost", "xgboost-cpu")
    dumps = loads = None
    _classes = ("Booster", "XGBClassifier", "XGBRegressor", "XGBRanker", "XGBRFClassifier", "XGBRFRegressor")

    def matches(self, value: Any) -> bool:
        """Whether it is one of those, and of no class of the user's own."""
        return _is_one("xgboost", self._classes, value)

    def encode(self, value: Any, path: Path) -> None:
        """The model, and in an attribute of it what is set in Python.

        Raises:
            Unstorable: it is not fitted, or has a function of the user's own as a setting.
        """
        booster, state = _apart(value)
        copy = booster.copy()
        copy.set_attr(**{_FIELD: _state(value, state)})
        path.write_bytes(copy.save_raw("ubj"))

    def decode(self, path: Path, wanted: str, scratch: Path) -> Any:
        """The model.

        Raises:
            Invalid: no such file.
        """
        import xgboost

        data = path.read_bytes()
        if not data:  # it would end the process
            raise Invalid(f"the model file {path.name[:12]} is empty")
        booster = xgboost.Booster()
        booster.load_model(bytearray(data))
        if booster.attr(_FIELD) is None:
            return _native_xgboost(booster, data)
        class_name, state = _told(booster.attr(_FIELD), self._classes, path)
        booster.set_attr(**{_FIELD: None})
        return _together(xgboost, class_name, booster, state)

    def describe(self, value: Any) -> dict[str, Any]:
        """The class, the names of the features, and how many rounds."""
        booster = value if type(value).__name__ == "Booster" else value.get_booster()
        return _described(value, booster.feature_names, booster.num_boosted_rounds())


class LightgbmCodec:
    """`Booster` and the estimators of LightGBM, as its text (`.txt`)."""

    name = "lightgbm"
    libraries = ("lightgbm",)
    distributions: tuple[str, ...] = ("lightgbm",)
    dumps = loads = None
    _classes = ("Booster", "LGBMClassifier", "LGBMRegressor", "LGBMRanker")
    _kept = ("best_iteration", "best_score", "params")
    _last = "\npandas_categorical:"

    def matches(self, value: Any) -> bool:
        """Whether it is one of those, and of no class of the user's own."""
        return _is_one("lightgbm", self._classes, value)

    def encode(self, value: Any, path: Path) -> None:
        """The text of all rounds; before its last line one more, with what is set in Python.

        Raises:
            Unstorable: it is not fitted, or has a function of the user's own as a setting.
        """
        booster, state = _apart(value)
        text, last, rest = booster.model_to_string(num_iteration=-1).rpartition(self._last)
        state["_Booster"] = {name: getattr(booster, name) for name in self._kept}
        told = _state(value, state)
        path.write_text(f"{text}\n{_FIELD}:{told}{last}{rest}", encoding="utf-8")

    def decode(self, path: Path, wanted: str, scratch: Path) -> Any:
        """The model.

        Raises:
            Invalid: no such file.
        """
        import lightgbm

        whole = path.read_text(encoding="utf-8")
        if f"\n{_FIELD}:" not in whole and whole.startswith("tree\n") and "\nend of trees" in whole:
            return lightgbm.Booster(model_str=whole)
        text, mark, rest = whole.rpartition(f"\n{_FIELD}:")
        told, last, end = rest.partition(self._last)
        # What is cut off would end the process.
        class_name, state = _told(told if mark and last else None, self._classes, path)
        booster = lightgbm.Booster(model_str=f"{text}{last}{end}")
        for name, kept in state.pop("_Booster").items():
            setattr(booster, name, kept)
        return _together(lightgbm, class_name, booster, state)

    def describe(self, value: Any) -> dict[str, Any]:
        """The class, the names of the features, and how many rounds."""
        booster = value if type(value).__name__ == "Booster" else value.booster_
        return _described(value, booster.feature_name(), booster.current_iteration())


class CatboostCodec:
    """Models of CatBoost, as its binary format (`.cbm`)."""

    name = "catboost"
    libraries = ("catboost",)
    distributions: tuple[str, ...] = ("catboost",)
    dumps = loads = None
    _classes = ("CatBoost", "CatBoostClassifier", "CatBoostRegressor", "CatBoostRanker")
    _kept = ("_init_params", "_n_features_in", "_prediction_values_change", "_loss_value_change")

    def matches(self, value: Any) -> bool:
        """Whether it is one of those, and of no class of the user's own."""
        return _is_one("catboost", self._classes, value)

    def encode(self, value: Any, path: Path) -> None:
        """The model, without its random id and the time of its training, and the parameters it was made with.

        Raises:
            Unstorable: it is not fitted, or has a function of the user's own as a setting.
        """
        import catboost

        if not value.is_fitted():
            raise _unfitted(value)
        told = _state(value, {name: vars(value)[name] for name in self._kept if name in vars(value)})
        value.save_model(str(path), format="cbm")
        copy = catboost.CatBoost()
        copy.load_model(blob=path.read_bytes())
        metadata = copy.get_metadata()
        for name in _TRAINED:
            metadata[name] = ""
        metadata[_FIELD] = told
        copy.save_model(str(path), format="cbm")

    def decode(self, path: Path, wanted: str, scratch: Path) -> Any:
        """The model.

        Raises:
            Invalid: no such file.
        """
        import catboost

        data = path.read_bytes()
        model = catboost.CatBoost()
        model.load_model(blob=data)
        metadata = model.get_metadata()
        told = metadata[_FIELD] if _FIELD in metadata.keys() else None  # noqa: SIM118 - no mapping
        if told is None:
            native = catboost.CatBoostClassifier if len(model.classes_) else catboost.CatBoostRegressor
            return native().load_model(blob=data)
        class_name, state = _told(told, self._classes, path)
        if class_name != "CatBoost":
            model = getattr(catboost, class_name)()
            model.load_model(blob=data)
        vars(model).update(state)
        return model

    def describe(self, value: Any) -> dict[str, Any]:
        """The class, the names of the features, and how many trees."""
        return _described(value, value.feature_names_, value.tree_count_)


def _native_xgboost(booster: Any, data: bytes) -> Any:
    """The estimator of a file of XGBoost's own: of the kind that it names, or that its objective is for."""
    import xgboost

    kinds = {"classifier": "XGBClassifier", "regressor": "XGBRegressor", "ranker": "XGBRanker"}
    named = json.loads(booster.attr("scikit_learn") or "{}").get("_estimator_type")
    objective = json.loads(booster.save_config())["learner"]["learner_train_param"]["objective"]
    wanted = {"binary": "classifier", "multi": "classifier", "rank": "ranker"}
    kind = named if named in kinds else wanted.get(objective.partition(":")[0], "regressor")
    model = getattr(xgboost, kinds[kind])()
    model.load_model(bytearray(data))
    return model


def _is_one(library: str, classes: tuple[str, ...], value: Any) -> bool:
    module = sys.modules.get(library)
    # A subclass has code of its own, of which the file would know nothing.
    return module is not None and any(type(value) is getattr(module, name, None) for name in classes)


def _apart(value: Any) -> tuple[Any, dict[str, Any]]:
    """The trees of XGBoost or LightGBM, and what an estimator around them has beside; trees alone are all.

    Raises:
        Unstorable: it is not fitted.
    """
    state = {} if type(value).__name__ == "Booster" else dict(vars(value))
    booster = state.pop("_Booster", value)
    if type(booster).__name__ != "Booster":
        raise _unfitted(value)
    return booster, state


def _together(library: ModuleType, class_name: str, booster: Any, state: dict[str, Any]) -> Any:
    """What `_apart` was given; nothing of it is run."""
    if class_name == "Booster":
        return booster
    kind = getattr(library, class_name)
    model = kind.__new__(kind)
    vars(model).update(state, _Booster=booster)
    return model


def _unfitted(value: Any) -> Unstorable:
    return Unstorable(f"{a_type(type(value))} that is not fitted has no native format")


def _described(value: Any, features: Any, rounds: int) -> dict[str, Any]:
    described: dict[str, Any] = {"class": type(value).__name__, "rounds": int(rounds)}
    if features:
        described["features"] = [str(name) for name in features]
    return described


def _state(value: Any, state: dict[str, Any]) -> str:
    """What is in a Python object beside its trees, as one line."""
    try:
        return json.dumps({"class": type(value).__name__, "state": _written(state)}, allow_nan=True)
    except TypeError as error:
        raise Unstorable(
            f"{a_type(type(value))} has a setting that its native format cannot keep: {error}",
            hint="give settings as numbers, text, and lists and dictionaries of these",
        ) from None


def _told(line: str | None, classes: tuple[str, ...], path: Path) -> tuple[str, dict[str, Any]]:
    """The name of the class, and what is in the object.

    Raises:
        Invalid: it does not tell.
    """
    if line is not None:
        told = json.loads(line)
        if told["class"] in classes:
            return told["class"], _read(told["state"])
    raise Invalid(f"the model file {path.name[:12]} does not say what it was in Python")


def _written(value: Any) -> Any:
    """A value as JSON that tells its type; all but plain values and lists are objects with one key.

    Raises:
        TypeError: it has a type that is not kept.
    """
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if kind is list:
        return [_written(each) for each in value]
    if kind is tuple:
        return {"tuple": [_written(each) for each in value]}
    if kind in (dict, OrderedDict) or (kind is defaultdict and value.default_factory is OrderedDict):
        return {kind.__name__: [[_written(key), _written(each)] for key, each in value.items()]}
    dtype = getattr(value, "dtype", None)
    if kind.__module__ == "numpy" and dtype is not None and dtype.kind in _KINDS:
        return {"array" if kind.__name__ == "ndarray" else "scalar": [dtype.str, value.tolist()]}
    if kind.__module__ == "numpy" and dtype is not None and dtype.kind == "O" and value.ndim == 1:
        return {"objects": [_written(each) for each in value]}
    if kind.__name__ == "LabelEncoder" and set(vars(value)) == {"classes_"}:
        return {"labels": _written(value.classes_)}
    raise TypeError(a_type(kind))


def _read(value: Any) -> Any:
    """What `_written` was given."""
    if type(value) is list:
        return [_read(each) for each in value]
    if type(value) is not dict:
        return value
    ((kind, told),) = value.items()
    match kind:
        case "tuple":
            return tuple(_read(told))
        case "dict" | "OrderedDict" | "defaultdict":
            pairs = [(_read(key), _read(each)) for key, each in told]
            return dict(pairs) if kind == "dict" else _ordered(kind, pairs)
        case "array" | "scalar":
            import numpy

            made = numpy.array(told[1], dtype=told[0])
            return made if kind == "array" else made[()]
        case "objects":
            import numpy

            objects = numpy.empty(len(told), dtype=object)
            objects[:] = _read(told)
            return objects
        case "labels":
            from sklearn.preprocessing import LabelEncoder

            encoder = LabelEncoder()
            encoder.classes_ = _read(told)
            return encoder
    raise Invalid(f"a model file tells of an unknown {kind}")


def _ordered(kind: str, pairs: list[tuple[Any, Any]]) -> Any:
    return OrderedDict(pairs) if kind == "OrderedDict" else defaultdict(OrderedDict, pairs)
