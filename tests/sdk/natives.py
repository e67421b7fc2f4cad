"""Values of libraries beside NumPy, pandas and scikit-learn, made the same in every process."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

Make = Callable[[], Any]

TORCH = importlib.util.find_spec("torch") is not None


@cache
def table() -> Any:
    """What the models are fitted on: four columns of numbers."""
    return pd.DataFrame(
        np.random.default_rng(3).normal(size=(160, 4)), columns=["age", "bmi", "größe", "x y"]
    )


def classes(count: int = 2) -> Any:
    """What is to be predicted: 0, 1, ..."""
    return pd.cut(table()["age"], count, labels=False).to_numpy().astype(int)


def names(count: int = 2) -> Any:
    """The classes by names."""
    return np.array(["well", "ill", "gone"])[classes(count)]


def with_wards() -> Any:
    """The table with a column of categories."""
    return table().assign(
        ward=pd.Categorical(["north" if row % 3 else "south" for row in range(len(table()))])
    )


def xgboost_(kind: str = "XGBClassifier", target: Any = None, on: Any = None, **settings: Any) -> Any:
    """An estimator of XGBoost that has learnt."""
    import xgboost

    settings = {"max_depth": 2} | settings
    model = getattr(xgboost, kind)(n_estimators=4, random_state=0, n_jobs=1, **settings)
    return model.fit(table() if on is None else on, classes() if target is None else target)


def stopped_xgboost() -> Any:
    """One that has stopped before its last round, and knows how it went."""
    import xgboost

    model = xgboost.XGBClassifier(n_estimators=30, early_stopping_rounds=2, eval_metric="logloss", n_jobs=1)
    return model.fit(
        table()[:100], classes()[:100], eval_set=[(table()[100:], classes()[100:])], verbose=False
    )


def xgboost_booster() -> Any:
    """A booster without an estimator around it."""
    import xgboost

    data = xgboost.DMatrix(table(), classes())
    return xgboost.train({"max_depth": 2, "objective": "binary:logistic", "nthread": 1}, data, 3)


XGBOOST: Mapping[str, Make] = {
    "classifier": xgboost_,
    "three classes": lambda: xgboost_(target=classes(3)),
    "regressor": lambda: xgboost_("XGBRegressor", table()["bmi"], missing=-1.0, learning_rate=0.3),
    "forest": lambda: xgboost_("XGBRFClassifier", colsample_bynode=0.5),
    "without names": lambda: xgboost_(on=table().to_numpy()),
    "categories": lambda: xgboost_(on=with_wards(), enable_categorical=True),
    "stopped early": stopped_xgboost,
    "linear": lambda: xgboost_("XGBRegressor", table()["bmi"], booster="gblinear", max_depth=None),
    "booster": xgboost_booster,
}


def lightgbm_(kind: str = "LGBMClassifier", target: Any = None, on: Any = None, **settings: Any) -> Any:
    """An estimator of LightGBM that has learnt."""
    import lightgbm

    model = getattr(lightgbm, kind)(n_estimators=4, random_state=0, n_jobs=1, verbose=-1, **settings)
    return model.fit(table() if on is None else on, names() if target is None else target)


def stopped_lightgbm() -> Any:
    """One that has stopped before its last round, and knows how it went."""
    import lightgbm

    model = lightgbm.LGBMClassifier(n_estimators=60, n_jobs=1, verbose=-1, learning_rate=0.5)
    stop = lightgbm.early_stopping(2, verbose=False)
    seen = {"eval_X": table()[100:], "eval_y": classes()[100:]}
    return model.fit(table()[:100], classes()[:100], callbacks=[stop], **seen)


def lightgbm_booster() -> Any:
    """A booster without an estimator around it."""
    import lightgbm

    data = lightgbm.Dataset(table(), classes())
    return lightgbm.train({"objective": "binary", "verbose": -1, "num_threads": 1}, data, 3)


LIGHTGBM: Mapping[str, Make] = {
    "classifier": lightgbm_,
    "three classes": lambda: lightgbm_(target=names(3)),
    "classes of pandas": lambda: lightgbm_(target=pd.Series(names(3))),
    "numbered classes": lambda: lightgbm_(target=classes() * 5),
    "weighed classes": lambda: lightgbm_(class_weight={"ill": 2.0, "well": 1.0}),
    "regressor": lambda: lightgbm_("LGBMRegressor", table()["bmi"], learning_rate=0.3),
    "without names": lambda: lightgbm_(on=table().to_numpy()),
    "categories": lambda: lightgbm_(on=with_wards()),
    "stopped early": stopped_lightgbm,
    "booster": lightgbm_booster,
}


def catboost_(kind: str = "CatBoostClassifier", target: Any = None, on: Any = None, **settings: Any) -> Any:
    """A model of CatBoost that has learnt."""
    import catboost

    settings |= {"iterations": 4, "depth": 2, "random_seed": 0, "thread_count": 1, "verbose": 0}
    settings |= {"allow_writing_files": False}
    model = catboost.CatBoost(settings) if kind == "CatBoost" else getattr(catboost, kind)(**settings)
    return model.fit(table() if on is None else on, names() if target is None else target)


CATBOOST: Mapping[str, Make] = {
    "classifier": catboost_,
    "three classes": lambda: catboost_(target=names(3), loss_function="MultiClass"),
    "regressor": lambda: catboost_("CatBoostRegressor", table()["bmi"]),
    "base class": lambda: catboost_("CatBoost", classes(), loss_function="Logloss"),
    "without names": lambda: catboost_(on=table().to_numpy()),
    "categories": lambda: catboost_(on=with_wards(), cat_features=["ward"]),
}


def asked(model: Any) -> list[Any]:
    """What a booster says of the samples it was fitted on, with probabilities where it gives them."""
    features = getattr(model, "n_features_in_", None) or len(getattr(model, "feature_names", None) or [0] * 4)
    on = with_wards() if features == 5 else table()
    if type(model).__module__.startswith("xgboost") and type(model).__name__ == "Booster":
        import xgboost

        return [model.predict(xgboost.DMatrix(on))]
    if not hasattr(model, "feature_names_in_") and not hasattr(model, "feature_names_"):
        on = on.to_numpy() if features == 4 else on
    answers = [model.predict(on)]
    return [*answers, model.predict_proba(on)] if hasattr(model, "predict_proba") else answers


def told(model: Any) -> dict[str, Any]:
    """What else can be seen of a booster."""
    seen = (
        "classes_",
        "n_classes_",
        "feature_names_in_",
        "feature_names_",
        "feature_importances_",
        "n_features_in_",
    )
    more = ("best_iteration", "best_score", "best_iteration_", "best_score_", "evals_result_", "params")
    found = {name: _rounded(getattr(model, name)) for name in (*seen, *more) if _has(model, name)}
    return found | ({"settings": repr(model.get_params())} if hasattr(model, "get_params") else {})


def _rounded(value: Any) -> Any:
    """CatBoost keeps its scores as text, and loses their last digit."""
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return float(f"{value:.12g}") if isinstance(value, float) else value


def _has(model: Any, name: str) -> bool:
    try:
        return hasattr(model, name)
    except Exception:  # what a model was not fitted for, its property refuses in its own way
        return False


def drawn(**settings: Any) -> Any:
    """A figure of matplotlib, with text, marks, a clip path and an image in it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3, 2), **settings)
    axes = figure.subplots()
    axes.plot([0, 1, 2], [1, 0, 2], label="größe")
    axes.scatter([0, 1], [2, 1])
    axes.imshow(np.arange(9).reshape(3, 3), extent=(0, 2, 0, 2), alpha=0.3)
    axes.legend(loc="upper left")
    return figure


def picture() -> Any:
    """What comes back of a figure."""
    import io

    from mlwright.sdk.picture import Picture

    file = io.BytesIO()
    drawn().savefig(file, format="png", metadata={"Software": None})
    return Picture(file.getvalue())


FIGURES: Mapping[str, Make] = {"lines": drawn, "finer": lambda: drawn(dpi=220), "a picture": picture}


def page() -> Any:
    """A figure of plotly."""
    from plotly import graph_objects

    line = graph_objects.Scatter(x=np.arange(4), y=pd.Series([1, 2.5, float("nan"), 4]), name="größe")
    return graph_objects.Figure([line, graph_objects.Bar(x=["a", "b"], y=[1, 2])], layout={"title": "two"})


def empty_page() -> Any:
    """A figure with nothing in it."""
    from plotly import graph_objects

    return graph_objects.Figure()


PAGES: Mapping[str, Make] = {"two traces": page, "empty": empty_page}


def tensors() -> Any:
    """Tensors of several types, one seen through another, one across its memory."""
    import torch

    whole = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    return {
        "layer.weight": whole,
        "tied": whole,
        "across": whole.T,
        "half": torch.ones(3, dtype=torch.bfloat16),
        "count": torch.tensor(7),
        "none": torch.zeros(0, 3),
        "yes": torch.tensor([True, False]),
    }


def state() -> Any:
    """What a module gives."""
    import torch

    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3)).state_dict()


TENSORS: Mapping[str, Make] = {"tensors": tensors, "a module's": state}


def network(name: str = "added") -> Any:
    """An ONNX model with a weight in it."""
    from onnx import TensorProto, helper, numpy_helper

    weight = numpy_helper.from_array(np.arange(3, dtype="float32"), "weight")
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 3])
    answer = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 3])
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "weight"], ["y"])], name, [value], [answer], [weight]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, {"made by": "hand", "why": "a test"})
    return model


def converted() -> Any:
    """A model of scikit-learn as ONNX."""
    from skl2onnx import to_onnx
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression().fit(table().to_numpy(), classes())
    return to_onnx(model, table().to_numpy().astype("float32")[:1], name="regression", target_opset=18)


NETWORKS: Mapping[str, Make] = {"by hand": network, "converted": converted}


def polars_() -> Any:
    """A frame of Polars with every type that comes back."""
    import datetime as dt

    import polars as pl

    return pl.DataFrame(
        {
            "whole": pl.Series([1, None, -3], dtype=pl.Int16),
            "part": [0.5, float("nan"), None],
            "text": ["größe", None, ""],
            "yes": [True, None, False],
            "day": [dt.date(2026, 11, 23), None, dt.date(1969, 1, 1)],
            "when": pl.Series([dt.datetime(2026, 11, 23, 4, 5), None, None]).dt.replace_time_zone(
                "Europe/Oslo"
            ),
            "long": [dt.timedelta(seconds=1), None, dt.timedelta(days=3)],
            "raw": [b"a", None, b""],
            "many": [[1, 2], None, []],
            "parts": [{"a": 1, "b": "x"}, {"a": None, "b": None}, {"a": 3, "b": "z"}],
            "kind": pl.Series(["a", "b", "a"], dtype=pl.Categorical),
            "rank": pl.Series(["low", "high", None], dtype=pl.Enum(["low", "mid", "high"])),
        }
    )


def empty_polars() -> Any:
    """A frame of Polars without rows."""
    return polars_().clear()


def glued_polars() -> Any:
    """A frame of Polars in two pieces."""
    import polars as pl

    return pl.concat([polars_(), polars_()], rechunk=False)


def polars_numbers() -> Any:
    """A frame of Polars without a column."""
    import polars as pl

    return pl.DataFrame()


POLARS: Mapping[str, Make] = {
    "polars": polars_,
    "polars without rows": empty_polars,
    "polars in pieces": glued_polars,
    "polars without columns": polars_numbers,
}

NATIVES: Mapping[str, Mapping[str, Make]] = {
    "xgboost": XGBOOST,
    "lightgbm": LIGHTGBM,
    "catboost": CATBOOST,
    "figure": FIGURES,
    "plotly": PAGES,
    "onnx": NETWORKS,
    **({"torch": TENSORS} if TORCH else {}),
}
