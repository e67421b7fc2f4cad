"""Models as ONNX: used if they answer the same, and else it is said why not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from mlwright.kernel.errors import Invalid
from mlwright.sdk import conversion
from mlwright.sdk.conversion import convert
from mlwright.sdk.onnx_model import OnnxModel
from mlwright.sdk.rows import plain, table_maker
from mlwright.sdk.signature import Asked, signature

Table = tuple[pd.DataFrame, Any]


def tumours() -> Table:
    data = load_breast_cancer(as_frame=True)
    return data.data, data.target.map({0: "malignant", 1: "benign"})


def tumours_in_parts() -> Table:
    """With missing measurements, and classes that are truth values."""
    table, target = tumours()
    table = table.copy()
    table.iloc[::7, 3] = np.nan
    return table, target == "benign"


def diabetes() -> Table:
    data = load_diabetes(as_frame=True)
    return data.data, data.target


def people() -> Table:
    """Names with spaces, integers, missing numbers, texts and truth values."""
    chance = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "the age": chance.integers(18, 90, 300),
            "income": chance.normal(3e4, 1e4, 300),
            "city": chance.choice(["Aarhus", "Bergen", "Çorum"], 300),
            "member": chance.random(300) > 0.5,
        }
    )
    table.loc[::9, "income"] = np.nan
    return table, np.where((table["the age"] > 50) ^ (table["city"] == "Bergen"), "yes", "no")


def categories() -> Table:
    table, target = people()
    return table.assign(city=table["city"].astype("category")), (target == "yes").astype(int)


def columns(last: Any, unknown: str = "ignore") -> Any:
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    texts = OneHotEncoder(handle_unknown=unknown)
    parts = [("n", numbers, ["the age", "income"]), ("t", texts, ["city"])]
    return make_pipeline(ColumnTransformer(parts, remainder="passthrough"), last)


MODELS: dict[str, tuple[Any, Callable[[], Table]]] = {
    "logistic": (make_pipeline(StandardScaler(), LogisticRegression()), tumours),
    "forest": (RandomForestClassifier(100, random_state=0), tumours),
    "scaled forest": (make_pipeline(StandardScaler(), RandomForestClassifier(30, random_state=0)), tumours),
    "histogram boosting": (HistGradientBoostingClassifier(max_iter=20), tumours_in_parts),
    "regressor": (Ridge(), diabetes),
    "columns": (columns(LogisticRegression()), people),
    "columns, forest": (columns(RandomForestClassifier(20, random_state=0), unknown="error"), people),
    "xgboost": (xgboost.XGBClassifier(n_estimators=20, enable_categorical=True), categories),
    "xgboost regressor": (xgboost.XGBRegressor(n_estimators=20), diabetes),
    "lightgbm": (lightgbm.LGBMClassifier(n_estimators=20, verbose=-1), tumours_in_parts),
    "lightgbm, categories": (lightgbm.LGBMClassifier(n_estimators=20, verbose=-1), categories),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_conversion_answers_rows_it_was_not_compared_on(name: str) -> None:
    """What is used answers as the model does, also on rows of which neither saw one."""
    model, data = MODELS[name]
    table, target = data()
    seen = np.arange(len(table)) % 3 != 0
    model = model.fit(table[seen], target[seen])
    described = signature(model, table[seen])

    told, found = convert(model, described, {"table": table[seen]})

    assert told | {"difference": 0, "by": ""} == {
        "used": True,
        "why": "",
        "rows": seen.sum(),
        "of": seen.sum(),
        "difference": 0,
        "by": "",
    }
    assert "onnxruntime 1." in told["by"]
    inputs = [Asked(**column) for column in described["inputs"]]
    asked = [conversion._cells(table[~seen][each.name], each) for each in inputs]
    labels, shares = OnnxModel(found, inputs, described["output"]["classes"] or ())(
        asked, proba=described["probabilities"]
    )
    own = table_maker(inputs)(asked)
    if described["probabilities"]:
        assert plain(labels) == plain(model.predict(own))
        assert np.abs(shares - model.predict_proba(own)).max() <= 1e-5
    else:
        assert np.allclose(labels, model.predict(own), rtol=1e-5)


def test_one_row_is_answered_as_in_a_table() -> None:
    """The answer to a row does not depend on those beside it, nor on what is asked for with it."""
    table, target = tumours()
    model = RandomForestClassifier(10, random_state=0).fit(table, target)
    described = signature(model, table)
    inputs = [Asked(**column) for column in described["inputs"]]
    asked = [plain(table[each.name]) for each in inputs]

    made = OnnxModel(convert(model, described, {"t": table}).model, inputs, described["output"]["classes"])

    whole, none = made(asked)
    assert none is None
    assert [made([[each[row]] for each in asked])[0][0] for row in range(50)] == whole[:50].tolist()


def test_what_is_off_by_rounding_is_not_used() -> None:
    """LightGBM compares by double precision, ONNX Runtime does not: the row that shows it is named."""
    table = pd.DataFrame({"a": np.arange(200) + 2.0**27, "b": np.linspace(0, 1, 200)[::-1]})
    model = lightgbm.LGBMRegressor(verbose=-1, min_child_samples=1, n_estimators=10)
    model.fit(table[["a"]], np.arange(200) % 2 * 1.0)

    told, found = convert(model, signature(model, table), {"table": table})

    assert not told["used"]
    assert told["why"].startswith("row ")
    assert " is answered with 0." in told["why"]
    assert found == b""


def test_what_no_converter_knows_is_not_used() -> None:
    """The verdict says it in the converter's own words."""
    table, target = diabetes()
    model = KernelRidge().fit(table, target)

    told, found = convert(model, signature(model, table), {"table": table})

    assert not told["used"]
    assert "KernelRidge" in told["why"]
    assert found == b""


def test_a_column_of_text_that_may_be_missing_is_not_converted() -> None:
    """ONNX has no missing text: rather than to answer another, nothing is converted."""
    table, target = people()
    table.loc[::11, "city"] = None
    model = columns(LogisticRegression()).fit(table, target)

    told, _ = convert(model, signature(model, table), {"table": table})

    assert told["why"] == "the text of column `city` may be missing, which ONNX has no form for"


def test_without_a_table_nothing_is_used() -> None:
    """What cannot be compared is not trusted."""
    table, target = diabetes()
    model = Ridge().fit(table, target)

    told, _ = convert(model, signature(model, table), {"other": table[["age"]], "number": 3})

    assert told["why"] == "there is no table of its training to compare it on"


def test_of_a_large_table_rows_are_chosen_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more rows are compared than a bound, and the verdict says of how many."""
    monkeypatch.setattr(conversion, "ROWS", 100)
    table, target = diabetes()
    model = Ridge().fit(table, target)

    told, _ = convert(model, signature(model, table), {"table": table})

    assert (told["rows"], told["of"]) == (100, 442)


def test_an_unknown_text_is_refused_as_by_the_model() -> None:
    """An encoder that refuses what it has not seen refuses it as ONNX too."""
    table, target = people()
    model = columns(LogisticRegression(), unknown="error").fit(table, target)
    described = signature(model, table)
    inputs = [Asked(**column) for column in described["inputs"]]
    made = OnnxModel(convert(model, described, {"t": table}).model, inputs, described["output"]["classes"])

    with pytest.raises(Exception, match="Unknown Category"):
        made([[30], [2e4], ["Dresden"], [True]])


def test_another_model_of_onnx_is_refused() -> None:
    """Bytes that are none, or take what no column is, are refused with a sentence of ours."""
    table, target = diabetes()
    model = Ridge().fit(table, target)
    described = signature(model, table)
    data = convert(model, described, {"table": table}).model
    inputs = [Asked(**column) for column in described["inputs"]]

    with pytest.raises(Invalid, match="the ONNX model cannot be read"):
        OnnxModel(data[:50], inputs, ())
    with pytest.raises(Invalid, match="takes an input `age____` of tensor"):
        OnnxModel(data.replace(b"\x07columns", b"\x07columnz").replace(b"columnz", b"age____"), inputs, ())
