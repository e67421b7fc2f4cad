"""Values of every codec, made the same in every process.

Run as a module, it prints the digest of each value's bytes: `python -m tests.sdk.values`.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from lightgbm import LGBMClassifier
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeRegressor
from xgboost import XGBClassifier

from mlwright.sdk.codecs import codec_named
from tests.exams.codecs import digest_of_value
from tests.sdk import natives

Make = Callable[[], Any]

TABLES: Mapping[str, Make] = {
    "plain": lambda: pd.DataFrame({"age": [41, 63], "name": ["Ada", "Éva"], "auc": [0.5, math.nan]}),
    "empty": pd.DataFrame,
    "no rows": lambda: pd.DataFrame({"age": np.array([], dtype="int32"), "name": pd.array([], dtype="str")}),
    "no columns": lambda: pd.DataFrame(index=[3, 1]),
    "missing text": lambda: pd.DataFrame(
        {"name": [None, "b"], "object": np.array([None, "b"], dtype=object)}
    ),
    "named index": lambda: pd.DataFrame({"age": [1, 2]}, index=pd.Index(["p", "q"], name="id")),
    "index with gaps": lambda: pd.DataFrame({"age": [1, 2, 3, 4]})[::2],
    "two indexes": lambda: pd.DataFrame(
        {"age": [1, 2]}, index=pd.MultiIndex.from_tuples([(1, "a"), (1, "b")], names=["x", None])
    ),
    "doubled index": lambda: pd.DataFrame({"age": [1, 2]}, index=["same", "same"]),
    "odd column names": lambda: pd.DataFrame({"größe": [1], "名前": [2], "a b\n": [3], "": [4], "🙂": [5]}),
    "numbered columns": lambda: pd.DataFrame({1: [1], 2: [2.5]}),
    "columns of two levels": lambda: pd.DataFrame({("a", "b"): [1], ("a", "c"): [2]}),
    "small numbers": lambda: pd.DataFrame(
        {"i": np.array([1, -1], "int8"), "u": np.array([1, 255], "uint8"), "f": np.array([1, 2], "float32")}
    ),
    "nullable": lambda: pd.DataFrame(
        {
            "whole": pd.array([1, None], dtype="Int64"),
            "yes": pd.array([True, None], dtype="boolean"),
            "part": pd.array([0.5, None], dtype="Float32"),
            "text": pd.array(["a", None], dtype="string"),
        }
    ),
    "times": lambda: pd.DataFrame(
        {
            "naive": pd.to_datetime(["2026-11-23 04:05:06.123456789", None]),
            "zoned": pd.to_datetime(["2026-03-29", "2026-10-25"]).tz_localize("Europe/Oslo"),
            "long": pd.to_timedelta([1, 2], unit="s"),
            "month": pd.period_range("2026", periods=2, freq="M"),
        }
    ),
    "categories": lambda: pd.DataFrame(
        {"grade": pd.Categorical(["low", None, "high"], categories=["low", "mid", "high"], ordered=True)}
    ),
    "categories of numbers": lambda: pd.DataFrame(
        {
            "month": pd.Categorical([3, 1, None], categories=[3, 1, 2], ordered=True),
            "yes": pd.Categorical([True, False, True]),
            "day": pd.Categorical(pd.to_datetime(["2026-01-01", "2026-01-02", "2026-01-01"])),
            "share": pd.Categorical([0.5, 0.25, None]),
        },
        index=pd.CategoricalIndex([7, 8, 7], name="week"),
    ),
    "categories of nothing": lambda: pd.DataFrame(
        {"none": pd.Categorical([None, None], categories=["a", "b"]), "void": pd.Categorical([None, None])}
    ),
    "categories without rows": lambda: pd.DataFrame(
        {"grade": pd.Categorical([], categories=["low", "high"])}
    ),
    "lists": lambda: pd.DataFrame({"many": [[1, 2], [3]]}),
    "many rows": lambda: pd.DataFrame(
        {"n": np.arange(50_000), "word": [f"word {number % 77}" for number in range(50_000)]}
    ),
    "glued": lambda: pd.concat(
        [pd.DataFrame({"word": ["a", "b"] * 700}), pd.DataFrame({"word": ["b", "c"] * 700})],
        ignore_index=True,
    ),
    "arrow": lambda: pa.table({"a": pa.array([1, None]), "b": pa.array(["x", "y"]).dictionary_encode()}),
    "arrow in pieces": lambda: pa.table(
        {
            "text": pa.chunked_array([["a"] * 900, ["b"] * 300]),
            "code": pa.chunked_array(
                [pa.array([5, 6] * 450).dictionary_encode(), pa.array([7, 5] * 150).dictionary_encode()]
            ).unify_dictionaries(),
        }
    ),
    "arrow without rows": lambda: pa.table(
        {"code": pa.chunked_array([], pa.dictionary(pa.int32(), pa.int64()))}
    ),
    **natives.POLARS,
}

ARRAYS: Mapping[str, Make] = {
    "numbers": lambda: np.arange(12).reshape(3, 4),
    "no elements": lambda: np.zeros((0, 3), "float32"),
    "no dimension": lambda: np.array(3.5),
    "fortran": lambda: np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "a view": lambda: np.arange(24).reshape(4, 6)[::-2, 1::2],
    "not a number": lambda: np.array([math.nan, math.inf, -0.0]),
    "booleans": lambda: np.array([[True], [False]]),
    "complex": lambda: np.array([1 + 2j]),
    "half": lambda: np.array([0.5], "float16"),
    "another byte order": lambda: np.array([1, 2], ">i4"),
    "text": lambda: np.array(["größe", ""]),
    "raw": lambda: np.array([b"ab", b"c"]),
    "dates": lambda: np.array(["2026-11-23", "NaT"], "datetime64[s]"),
    "fields": lambda: np.array([(1, 0.5)], dtype=np.dtype([("a", "i1"), ("b", "f8")], align=True)),
    "large": lambda: np.random.default_rng(0).normal(size=(300, 40)),
    "large fortran": lambda: np.asfortranarray(np.random.default_rng(0).normal(size=(300, 40))),
}

JSON: Mapping[str, Make] = {
    "nothing": lambda: None,
    "numbers": lambda: [0, -1, 2**80, 0.1, -0.0, 1e300, math.inf, True],
    "text": lambda: {"größe": "名前\n\u2028", "": [], "half a character": "\ud800"},
    "nested": lambda: {"b": {"a": [{}, None]}, "a": 1},
    "scores": lambda: {"auc": 0.97, "rows": 143},
}

TEXTS: Mapping[str, Make] = {
    "empty": lambda: "",
    "lines": lambda: "a\r\nb\nc\r\ud800\x00",
    "signs": lambda: "größe 名前 🙂 \ufeff",
}

BYTES: Mapping[str, Make] = {"empty": lambda: b"", "all": lambda: bytes(range(256))}


@cache
def samples() -> tuple[Any, Any, list[str]]:
    """What the models are fitted on: numbers, classes, and one text for each row."""
    random = np.random.default_rng(7)
    numbers = random.normal(size=(120, 5))
    classes = (numbers[:, 0] + 0.3 * random.normal(size=120) > 0).astype(int)
    return numbers, classes, [f"{'ill' if ill else 'well'} word{row % 9}" for row, ill in enumerate(classes)]


def frame() -> Any:
    """The numbers as a table, with a column of text."""
    table = pd.DataFrame(samples()[0], columns=[f"feature {number}" for number in range(5)])
    return table.assign(ward=["north" if row % 3 else "south" for row in range(len(table))])


def fitted(model: Any, *, on: str = "numbers", classes: Any = None) -> Any:
    """A model that has learnt."""
    numbers, known, texts = samples()
    return model.fit(
        {"numbers": numbers, "frame": frame(), "texts": texts}[on], known if classes is None else classes
    )


def named(classes: list[str]) -> Any:
    """The classes by names."""
    return np.array(classes)[samples()[1]]


MODELS: Mapping[str, Make] = {
    "forest": lambda: fitted(RandomForestClassifier(8, random_state=0)),
    "regression": lambda: fitted(LogisticRegression()),
    "not fitted": lambda: LogisticRegression(C=0.5),
    "pipeline": lambda: fitted(Pipeline([("scale", StandardScaler()), ("svm", SVC(random_state=0))])),
    "named classes": lambda: fitted(
        RandomForestClassifier(3, random_state=0), classes=named(["well", "ill"])
    ),
    "classes named like parts": lambda: fitted(
        LogisticRegression(class_weight={"file": 2.0, "content": 1.0}), classes=named(["file", "content"])
    ),
    "tree": lambda: fitted(DecisionTreeRegressor(random_state=0)),
    "boosting": lambda: fitted(GradientBoostingClassifier(n_estimators=3, random_state=0)),
    "histograms": lambda: fitted(HistGradientBoostingRegressor(max_iter=3, random_state=0)),
    "neighbours": lambda: fitted(KNeighborsClassifier(3)),
    "words": lambda: fitted(make_pipeline(TfidfVectorizer(), MultinomialNB()), on="texts"),
    "neighbours of words": lambda: fitted(
        make_pipeline(TfidfVectorizer(), KNeighborsClassifier(3)), on="texts"
    ),
    "columns": lambda: fitted(
        make_pipeline(
            ColumnTransformer([("one hot", OneHotEncoder(), ["ward"])], remainder=StandardScaler()),
            SelectKBest(k=3),
            FunctionTransformer(np.tanh),
            LogisticRegression(),
        ),
        on="frame",
    ),
    "pipeline with xgboost": lambda: fitted(
        make_pipeline(StandardScaler(), XGBClassifier(n_estimators=3, max_depth=2, n_jobs=1))
    ),
    "pipeline with lightgbm": lambda: fitted(
        make_pipeline(StandardScaler(), LGBMClassifier(n_estimators=3, n_jobs=1, verbose=-1)).set_output(
            transform="pandas"
        ),
        classes=named(["well", "ill"]),
    ),
}  # fmt: skip


def asked(model: Any) -> Any:
    """What a fitted model says of the samples it takes; None for one that is not fitted."""
    if isinstance(model, Pipeline) and isinstance(model[0], TfidfVectorizer):
        return model.predict(samples()[2])
    if isinstance(model, Pipeline) and isinstance(model[0], ColumnTransformer):
        return model.predict(frame())
    return model.predict(samples()[0]) if hasattr(model, "n_features_in_") else None


def in_file(data: bytes) -> Make:
    """Makes a path to a file with these bytes."""

    def make() -> Path:
        path = Path(os.environ["MLWRIGHT_TEST_FILES"]) / f"report-{len(data)}.html"
        path.write_bytes(data)
        return path

    return make


def in_folder(files: Mapping[str, bytes]) -> Make:
    """Makes a path to a folder with these files; one whose name ends in .sh may be executed."""

    def make() -> Path:
        folder = Path(tempfile.mkdtemp(dir=os.environ["MLWRIGHT_TEST_FILES"])) / "parts"
        for name, data in files.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
            file.chmod(0o755 if name.endswith(".sh") else 0o600)
        return folder

    return make


FILES: Mapping[str, Make] = {"empty": in_file(b""), "large": in_file(b"x" * 9999)}
FOLDERS: Mapping[str, Make] = {
    "one file": in_folder({"a.txt": b"a"}),
    "many": in_folder({"größe/b": b"x" * 9999, "größe/c/run.sh": b"#!", ".hidden": b"", " ": b"1"}),
}

VALUES: Mapping[str, Mapping[str, Make]] = {
    "file": FILES,
    "tree": FOLDERS,
    **natives.NATIVES,
    "table": TABLES,
    "array": ARRAYS,
    "sklearn": MODELS,
    "json": JSON,
    "text": TEXTS,
    "bytes": BYTES,
}

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MLWRIGHT_TEST_FILES"] = tempfile.mkdtemp(dir=folder)
        digests = {
            f"{codec}/{name}": digest_of_value(
                codec_named(codec), make(), Path(tempfile.mkdtemp(dir=folder)) / "e"
            )
            for codec, values in VALUES.items()
            for name, make in values.items()
        }
    print(json.dumps(digests))
