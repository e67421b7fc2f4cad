"""Every codec sits the exam; then what is particular to each, and what each refuses."""

from __future__ import annotations

import importlib
import io
import json
import os
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import polars.testing
import pytest
import skops.io
from catboost import CatBoostClassifier
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lightgbm import LGBMClassifier
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from xgboost import XGBClassifier
from xgboost.callback import TrainingCallback

from mlwright.kernel.errors import Invalid
from mlwright.sdk.codecs import CODECS, LAST_RESORT, codec_named, codecs_for, distributions_for
from mlwright.sdk.codecs.models import AUDITED
from mlwright.sdk.picture import Picture
from tests.exams.codecs import CodecExam, Make, encoded
from tests.processes import SOURCE, run_python, start_python
from tests.sdk import natives, values


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    """The digests of all values in two other processes, in environments as different as can be."""
    code = """
        import os, runpy, sys
        os.chdir(sys.argv[1])
        runpy.run_module("tests.sdk.values", run_name="__main__")
    """
    processes = [
        start_python(
            code,
            tmp_path_factory.mktemp("cwd"),
            PYTHONPATH=f"{SOURCE.parent}{os.pathsep}{SOURCE}",
            PYTHONHASHSEED=seed,
            TZ=zone,
        )
        for seed, zone in [("1", "Asia/Tokyo"), ("2", "America/Lima")]
    ]
    return [json.loads(process.communicate(timeout=300)[0]) for process in processes]


def _look(value: Any) -> bytes:
    """The picture of a figure."""
    if isinstance(value, Picture):
        return value.png
    file = io.BytesIO()
    value.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def with_weights_elsewhere() -> Any:
    """An ONNX model whose weight is said to lie in a file of the machine."""
    model = natives.network()
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = weight.EXTERNAL
    entry = weight.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"
    return model


NPY = io.BytesIO()
np.save(NPY, np.array([object()]), allow_pickle=True)
PICKLED = NPY.getvalue()
NPZ = io.BytesIO()
np.savez(NPZ, a=np.arange(3))


class Unkept(TrainingCallback):  # type: ignore[misc]
    """A setting of the user's own class."""


def squared(target: Any, guess: Any) -> tuple[Any, Any]:
    """An objective of the user's own."""
    return guess - target, np.ones(len(guess))


class TestTableCodec(CodecExam):
    """Tables of pandas, Polars and Arrow."""

    codec = codec_named("table")
    values = values.TABLES
    broken: Mapping[str, bytes] = {
        "empty": b"",
        "text": b"age,ill\n41,0\n",
        "cut": b"PAR1" + b"\0" * 20 + b"PAR1",
    }

    def same(self, one: Any, other: Any) -> None:
        """With index, names, categories and types."""
        assert type(one) is type(other)
        if isinstance(one, pd.DataFrame):
            pd.testing.assert_frame_equal(one, other, check_freq=False)
        elif isinstance(one, pl.DataFrame):
            polars.testing.assert_frame_equal(one, other, check_exact=True)
        else:
            assert one.equals(other)
            assert one.schema.equals(other.schema)


class TestArrayCodec(CodecExam):
    """NumPy arrays."""

    codec = codec_named("array")
    values = values.ARRAYS
    broken: Mapping[str, bytes] = {
        "empty": b"",
        "pickle": PICKLED,
        "an archive of arrays": NPZ.getvalue(),
        "only a beginning": b"\x93NUMPY\x01\x00",
        "fewer elements than it says": PICKLED[:-1],
    }

    def same(self, one: Any, other: Any) -> None:
        """With the type of element and the shape; memory-mapped or not."""
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        np.testing.assert_array_equal(one, other, strict=True)


class TestSklearnCodec(CodecExam):
    """scikit-learn models."""

    codec = codec_named("sklearn")
    values = values.MODELS
    broken: Mapping[str, bytes] = {
        "empty": b"",
        "pickle": b"\x80\x04N.",
        "an archive of arrays": NPZ.getvalue(),
    }

    def same(self, one: Any, other: Any) -> None:
        """Of one class, with the same settings, and with the same answers."""
        assert type(one) is type(other)
        assert repr(one) == repr(other)
        np.testing.assert_array_equal(values.asked(one), values.asked(other))


class TestJsonCodec(CodecExam):
    """JSON values. Equal means of the same types in the same order: `1 == 1.0`, but they are two texts."""

    codec = codec_named("json")
    values = values.JSON
    broken: Mapping[str, bytes] = {"empty": b"", "no JSON": b"{", "no text": b'"\xff"', "too much": b"1 2"}


class TestTextCodec(CodecExam):
    """Text."""

    codec = codec_named("text")
    values = values.TEXTS
    broken: Mapping[str, bytes] = {"no UTF-8": b"\xff", "cut": "é".encode()[:1]}


class TestBytesCodec(CodecExam):
    """Bytes. Law 4 has no sense here: any bytes are a value."""

    codec = codec_named("bytes")
    values = values.BYTES
    broken: Mapping[str, bytes] = {}
    test_what_encode_did_not_make_is_refused = None


class BoosterExam:
    """What equal means of boosted trees."""

    def same(self, one: Any, other: Any) -> None:
        """Of one class, with the same answers, classes, features, settings and memory of its training."""
        assert type(one) is type(other)
        for answer, expected in zip(natives.asked(one), natives.asked(other), strict=True):
            np.testing.assert_array_equal(answer, expected, strict=True)
        seen, expected = natives.told(one), natives.told(other)
        assert repr(seen) == repr(expected)


class TestXgboostCodec(BoosterExam, CodecExam):
    """Models of XGBoost."""

    codec = codec_named("xgboost")
    values = natives.XGBOOST
    broken: Mapping[str, bytes] = {"empty": b"", "pickle": b"\x80\x04N.", "text": b"abc", "begun": b"{"}


class TestLightgbmCodec(BoosterExam, CodecExam):
    """Models of LightGBM."""

    codec = codec_named("lightgbm")
    values = natives.LIGHTGBM
    broken: Mapping[str, bytes] = {"empty": b"", "pickle": b"\x80\x04N.", "begun": b"tree\nversion=v4\n"}


class TestCatboostCodec(BoosterExam, CodecExam):
    """Models of CatBoost."""

    codec = codec_named("catboost")
    values = natives.CATBOOST
    broken: Mapping[str, bytes] = {"empty": b"", "pickle": b"\x80\x04N.", "begun": b"CBM1"}


class TestFigureCodec(CodecExam):
    """Figures of matplotlib. Of law 1 the picture: a figure drawn again is not to be had."""

    codec = codec_named("figure")
    values = natives.FIGURES
    broken: Mapping[str, bytes] = {
        "empty": b"",
        "pickle": b"\x80\x04N.",
        "cut": natives.picture().png[:-20],
        "another image": b"GIF89a",
    }

    def same(self, one: Any, other: Any) -> None:
        """As they look."""
        assert _look(one) == _look(other)


class TestPlotlyCodec(CodecExam):
    """Figures of plotly."""

    codec = codec_named("plotly")
    values = natives.PAGES
    broken: Mapping[str, bytes] = {
        "empty": b"",
        "nothing": b"null",
        "no figure": b"{}",
        "other keys": b'{"data": [], "layout": {}, "code": "alert(1)"}',
        "an unknown trace": b'{"data": [{"type": "nope"}], "layout": {}}',
    }


@pytest.mark.skipif(not natives.TORCH, reason="torch is not installed: 200 MB that nothing else here needs")
class TestTorchCodec(CodecExam):
    """State dicts of torch."""

    codec = codec_named("torch")
    values = natives.TENSORS
    broken: Mapping[str, bytes] = {"empty": b"", "pickle": b"\x80\x04N.", "long": b"\xff" * 16}

    def same(self, one: Any, other: Any) -> None:
        """By name: type, shape and every number. What comes back is a plain dictionary."""
        assert isinstance(one, dict)
        assert one.keys() == other.keys()
        for name, tensor in one.items():
            assert (tensor.dtype, tensor.shape) == (other[name].dtype, other[name].shape)
            assert tensor.equal(other[name])


class TestOnnxCodec(CodecExam):
    """ONNX models."""

    codec = codec_named("onnx")
    values = natives.NETWORKS
    broken: Mapping[str, bytes] = {
        "empty": b"",
        "pickle": b"\x80\x04N.",
        "no graph": b"\x08\x0a",
        "weights elsewhere": with_weights_elsewhere().SerializeToString(),
    }

    def same(self, one: Any, other: Any) -> None:
        """In everything; its sets of operators have no order, and skl2onnx gives them in any."""
        assert type(one) is type(other)
        for model in (one, other):
            model.opset_import.sort(key=lambda each: each.domain)
        assert one == other


class TestFileCodec(CodecExam):
    """Files. Law 4 has no sense here: any bytes are a file's."""

    codec = codec_named("file")
    values = values.FILES
    broken: Mapping[str, bytes] = {}
    test_what_encode_did_not_make_is_refused = None

    @pytest.fixture(autouse=True)
    def files(self, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where the files are made."""
        monkeypatch.setenv("MLWRIGHT_TEST_FILES", str(tmp_path_factory.mktemp("files")))

    def same(self, one: Any, other: Any) -> None:
        """By what is in them."""
        assert isinstance(one, Path)
        assert one.read_bytes() == other.read_bytes()


class TestFolderCodec(CodecExam):
    """Folders. Of law 4 what is no folder."""

    codec = codec_named("tree")
    values = values.FOLDERS
    broken: Mapping[str, bytes] = {"a file": b"a"}

    @pytest.fixture(autouse=True)
    def files(self, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where the folders are made."""
        monkeypatch.setenv("MLWRIGHT_TEST_FILES", str(tmp_path_factory.mktemp("files")))

    def same(self, one: Any, other: Any) -> None:
        """By the files in them, what is in those, and which may be executed."""
        assert isinstance(one, Path)
        assert _files_in(one) == _files_in(other)


def _files_in(folder: Path) -> dict[str, tuple[bytes, bool]]:
    return {
        file.relative_to(folder).as_posix(): (file.read_bytes(), bool(file.stat().st_mode & 0o100))
        for file in folder.rglob("*")
        if file.is_file()
    }


class Own(BaseEstimator):  # type: ignore[misc]
    """An estimator of the user's own."""

    def predict(self, table: Any) -> Any:
        """Always the same."""
        return np.zeros(len(table))


@dataclass
class Reading:
    """A class of the user's own."""

    value: float
    unit: str = "mg"


class TestPickleCodec(CodecExam):
    """The last resort. Laws 2 and 4 cannot hold for it, and it is chosen by nobody who asks for a codec.

    2: a pickle tells which parts of a value are one object in memory, and the order of a set; equal values
    may differ in both. 4: its bytes say what is called to make the value.
    """

    codec = codec_named("pickle")
    values: Mapping[str, Make] = {
        "a tuple": lambda: (1, ("a", None)),
        "a set": lambda: {1, 2},
        "keys of numbers": lambda: {1: "a", (2, 3): "b"},
        "an own class": lambda: [Reading(1.5), Reading(2.5, "ml")],
        "a class": lambda: Reading,
    }
    broken: Mapping[str, bytes] = {"empty": b"", "text": b"abc", "cut": pickle.dumps(Reading(1.5))[:-1]}
    test_equal_values_have_equal_bytes = None
    test_bytes_are_the_same_in_any_process = None

    def test_the_codec_is_the_one_that_is_chosen(self, make: Make) -> None:
        """None of the others takes such a value; to be the last resort is what the worker makes of it."""
        assert list(codecs_for(make())) == []
        assert LAST_RESORT is self.codec
        assert self.codec not in CODECS

    def test_laws_2_and_4_do_not_hold(self, tmp_path: Path) -> None:
        """Two equal values have two texts; and bytes that encode did not make run."""
        text = "a long text"
        shared, apart = (text, text), (text, text.upper().lower())
        mark = tmp_path / "mark"

        class Bomb:
            def __reduce__(self) -> Any:
                return Path.touch, (mark,)

        (tmp_path / "bomb").write_bytes(pickle.dumps(Bomb()))

        self.codec.decode(tmp_path / "bomb", "", tmp_path)

        assert shared == apart
        assert encoded(self.codec, shared, tmp_path / "a") != encoded(self.codec, apart, tmp_path / "b")
        assert mark.exists()


def test_asking_for_a_codec_imports_nothing() -> None:
    """Law 3: no library is loaded to find out that a value is not one of its."""
    code = """
        import sys
        from mlwright.sdk.codecs import CODECS
        before = set(sys.modules)
        for value in (None, 1, "a", b"a", [1], {"a": object()}, object(), (1,)):
            for codec in CODECS:
                codec.matches(value)
        print(set(sys.modules) - before)
    """

    assert run_python(code).stdout.strip() == "set()"


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters()), inner, max_size=4),
    max_leaves=12,
)
SHARED = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@SHARED
@given(JSON_VALUES)
def test_any_json_value_comes_back(tmp_path: Path, value: Any) -> None:
    """Whatever the text in it, whatever the depth."""
    codec = next(codecs_for(value))

    codec.encode(value, tmp_path / "encoded")

    assert codec.decode(tmp_path / "encoded", "", tmp_path) == value


@SHARED
@given(
    st.dictionaries(
        st.text(st.characters(blacklist_categories=["Cs"]), min_size=1),
        st.sampled_from(["int64", "Int64", "float32", "str", "bool", "category", "datetime64[us]"]),
        max_size=4,
    ),
    st.integers(0, 5),
)
def test_any_table_comes_back(tmp_path: Path, columns: dict[str, str], rows: int) -> None:
    """Any column names with any of the common types, and any number of rows."""
    table = pd.DataFrame(
        {name: pd.Series([1, 0, 1, 1, 0][:rows]).astype(kind) for name, kind in columns.items()}
    )
    codec = codec_named("table")

    codec.encode(table, tmp_path / "encoded")

    pd.testing.assert_frame_equal(codec.decode(tmp_path / "encoded", "pandas.DataFrame", tmp_path), table)


def test_a_receiver_gets_the_kind_of_table_it_asks_for(tmp_path: Path) -> None:
    """The same bytes as pandas or Arrow; pandas when it does not say."""
    codec = codec_named("table")
    codec.encode(values.TABLES["categories of numbers"](), tmp_path / "encoded")

    kinds = {
        wanted: type(codec.decode(tmp_path / "encoded", wanted, tmp_path)).__name__
        for wanted in ("pandas.DataFrame", "pyarrow.Table", "")
    }

    assert kinds == {"pandas.DataFrame": "DataFrame", "pyarrow.Table": "Table", "": "DataFrame"}


def test_a_table_is_described_by_its_columns() -> None:
    """Rows, names and types; an index without a name is no column."""
    described = codec_named("table").describe(values.TABLES["nullable"]())

    assert described["rows"] == 2
    assert [(column["name"], column["type"]) for column in described["columns"]] == [
        ("whole", "int64"), ("yes", "bool"), ("part", "float"), ("text", "large_string")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (lambda: pd.DataFrame({"age": pd.cut([1.0, 2.0, 3.0], 2)}), "column `age` has categories of type"),
        (
            lambda: np.array([1, "a", None], dtype=object),
            "an array of object cannot be stored without pickle",
        ),
        (lambda: np.array([(1, None)], dtype=[("a", int), ("b", object)]), "cannot be stored without pickle"),
        (lambda: Path("/nowhere/report.html"), "which is not a file"),
        (lambda: pl.LazyFrame({"a": [1]}), "a polars.LazyFrame is the plan of a table, and not yet a table"),
        (lambda: pd.DataFrame({"mixed": [1, "a"]}), "has a column that Arrow cannot hold: .*mixed"),
        (lambda: pd.DataFrame([[1, 2]], columns=["a", "a"]), "has a column that Arrow cannot hold: Dup"),
        (with_weights_elsewhere, "keeps the weights `weight` in another file"),
        (lambda: natives.network(""), "this ONNX model is not sound"),
        (lambda: natives.xgboost_(callbacks=[Unkept()]), "a setting that its native format cannot keep"),
        (
            lambda: natives.lightgbm_("LGBMRegressor", natives.table()["bmi"], objective=squared),
            "a setting that its native format cannot keep: a function",
        ),
        (XGBClassifier, "that is not fitted has no native"),
        (LGBMClassifier, "that is not fitted has no native format"),
        (CatBoostClassifier, "that is not fitted has no native format"),
    ],
)
def test_what_cannot_be_stored_is_said_before_anything_is_written(
    tmp_path: Path, value: Make, said: str
) -> None:
    """An Invalid with a hint, and no half of a file."""
    codec = next(codecs_for(value()))

    with pytest.raises(Invalid, match=said):
        codec.encode(value(), tmp_path / "encoded")

    assert not (tmp_path / "encoded").exists()


@pytest.mark.parametrize(
    "value",
    [
        (1, 2),
        {1: "a"},
        {"a": (1,)},
        {1, 2},
        object(),
        bytearray(b"a"),
        [np.array([1, 2])],
        [np.datetime64("2026-11-23")],
        [np.complex128(1)],
        np.longdouble(1),
        np.ma.masked_array([1, 2], mask=[True, False]),
        # Made by a view: its constructor warns, unless somebody imported SciPy first.
        np.array([[1]]).view(np.matrix) if hasattr(np, "matrix") else object(),
        np.rec.array([(1,)]),
        pd.Series([1]),
    ],
)
def test_what_would_come_back_as_something_else_has_no_codec(value: Any) -> None:
    """A tuple would be a list, a masked array would lose its mask: nothing but pickle takes them."""
    assert list(codecs_for(value)) == []


@pytest.mark.parametrize("value", [np.int64(3), np.float32(0.5), np.bool_(True), np.str_("a")])
def test_a_scalar_of_numpy_is_stored_by_its_value(tmp_path: Path, value: Any) -> None:
    """Alone and within a dictionary it comes back as Python's."""
    for each in (value, {"score": value}):
        codec = next(codecs_for(each))
        codec.encode(each, tmp_path / "encoded")
        assert codec.decode(tmp_path / "encoded", "", tmp_path) == each


def test_the_order_in_memory_is_not_stored(tmp_path: Path) -> None:
    """An array, the same by columns, and a view of a larger one are equal, and have equal bytes."""
    array = np.arange(12.0).reshape(3, 4)
    views = [array, np.asfortranarray(array), np.arange(24.0)[::1][:12].reshape(3, 4), array[::-1][::-1]]

    stored = {encoded(codec_named("array"), view, tmp_path / "encoded") for view in views}

    assert len(stored) == 1


@pytest.mark.parametrize("name", ["numbers", "large"])
def test_an_array_may_be_written_to_and_its_file_does_not_change(tmp_path: Path, name: str) -> None:
    """Small or mapped, what a step changes in place stays its own."""
    codec = codec_named("array")
    codec.encode(values.ARRAYS[name](), tmp_path / "encoded")
    before = (tmp_path / "encoded").read_bytes()

    array = codec.decode(tmp_path / "encoded", "numpy.ndarray", tmp_path)
    array[:] = 0

    assert not array.any()
    assert (tmp_path / "encoded").read_bytes() == before


def test_a_file_is_given_as_a_copy(tmp_path: Path) -> None:
    """Also where the stored file lies in the scratch folder itself; two receivers do not share one."""
    codec = codec_named("file")
    stored = tmp_path / "input-0"
    stored.write_bytes(b"bytes")
    stored.chmod(0o444)

    one, other = (codec.decode(stored, "", tmp_path) for _ in range(2))
    one.write_bytes(b"edited")

    assert stored.read_bytes() == other.read_bytes() == b"bytes"
    assert one.is_relative_to(tmp_path)


def double(table: Any) -> Any:
    """A function of the user's own."""
    return table * 2


@pytest.mark.parametrize(
    ("model", "named"),
    [
        (Own, "tests.sdk.test_codecs.Own"),
        (
            lambda: make_pipeline(FunctionTransformer(double), LogisticRegression()),
            "tests.sdk.test_codecs.double",
        ),
        (lambda: make_pipeline(FunctionTransformer(lambda table: table), LogisticRegression()), "<lambda>"),
        (lambda: LogisticRegression(C=Own()), "tests.sdk.test_codecs.Own"),
        (lambda: FunctionTransformer(np.load), "numpy.load"),
        (lambda: FunctionTransformer(eval), "builtins.eval"),
        (lambda: FunctionTransformer(os.system), "posix.system"),
    ],
)
def test_a_model_with_foreign_types_is_refused_when_it_is_stored(
    tmp_path: Path, model: Make, named: str
) -> None:
    """The message names what no reader would be allowed to build."""
    with pytest.raises(Invalid, match="holds types that are not safe to load") as raised:
        codec_named("sklearn").encode(model(), tmp_path / "encoded")

    assert named in raised.value.message
    assert not (tmp_path / "encoded").exists()


def forged(path: Path, schema: dict[str, Any]) -> Path:
    """A skops file that says anything."""
    head = json.loads(zipfile.ZipFile(io.BytesIO(skops.io.dumps(LogisticRegression()))).read("schema.json"))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "schema.json", json.dumps(schema | {key: head[key] for key in ("protocol", "_skops_version")})
        )
    return path


def call(function: str, *arguments: str) -> dict[str, Any]:
    """A node that has anything called with texts."""
    module, _, name = function.rpartition(".")
    texts = [
        {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "content": json.dumps(text)}
        for text in arguments
    ]
    content = {"__class__": "tuple", "__module__": "builtins", "__loader__": "TupleNode", "content": texts}
    return {
        "__class__": name,
        "__module__": module,
        "__loader__": "ConstructorFromReduceNode",
        "content": content,
    }


@pytest.mark.parametrize(
    "function",
    [
        "numpy.testing._private.utils.runstring",
        "numpy.lib._npyio_impl.load",
        "numpy.memmap",
        "scipy.io._mio.loadmat",
        "sklearn.utils._testing.TempMemmap",
        "os.system",
        "builtins.exec",
        "tests.sdk.test_codecs.Own",
    ],
)
def test_a_forged_model_runs_nothing(tmp_path: Path, function: str) -> None:
    """A file may name any function to be called: what is not known to be harmless is refused."""
    mark = tmp_path / "mark"
    path = forged(tmp_path / "forged", call(function, f"import pathlib; pathlib.Path({str(mark)!r}).touch()"))

    with pytest.raises(Invalid, match="holds types that are not safe to load") as raised:
        codec_named("sklearn").decode(path, "", tmp_path)

    assert function in raised.value.message
    assert not mark.exists()


def test_what_may_be_built_is_there() -> None:
    """Each audited name exists in the libraries we are tested with, and is no module."""
    missing = [
        name
        for name in AUDITED
        if not callable(
            getattr(importlib.import_module(name.rpartition(".")[0]), name.rpartition(".")[2], None)
        )
    ]

    assert missing == []


def test_a_search_comes_back(tmp_path: Path) -> None:
    """With the model that was found; it records how long each try took, so that no two have equal bytes."""
    search = values.fitted(GridSearchCV(LogisticRegression(), {"C": [0.5, 1.0]}, cv=2, scoring="accuracy"))
    codec = codec_named("sklearn")

    codec.encode(search, tmp_path / "encoded")
    found = codec.decode(tmp_path / "encoded", "", tmp_path)

    assert found.best_params_ == search.best_params_
    np.testing.assert_array_equal(values.asked(found), values.asked(search))


def test_a_model_tells_its_features() -> None:
    """The class, and the columns it was fitted with."""
    table, classes = values.frame().drop(columns="ward"), values.samples()[1]

    described = [
        codec_named("sklearn").describe(LogisticRegression().fit(given, classes))
        for given in (table, table.to_numpy())
    ]

    assert described == [
        {"class": "LogisticRegression", "features": [f"feature {number}" for number in range(5)]},
        {"class": "LogisticRegression"},
    ]


def test_an_unknown_codec_is_said() -> None:
    """An artifact of a newer version names its codec."""
    with pytest.raises(Invalid, match="the codec `holograms`, which this mlwright does not have") as raised:
        codec_named("holograms")

    assert "mlwright environments add" in str(raised.value.hint)


@pytest.mark.parametrize(
    ("annotation", "needed"),
    [
        ("pandas.DataFrame", ("pandas", "polars", "pyarrow")),
        ("numpy.ndarray", ("numpy",)),
        ("sklearn.RandomForestClassifier", ("scikit-learn", "skops")),
        ("polars.LazyFrame", ("pandas", "polars", "pyarrow")),
        ("xgboost.XGBClassifier", ("xgboost", "xgboost-cpu")),
        ("lightgbm.Booster", ("lightgbm",)),
        ("catboost.CatBoostRegressor", ("catboost",)),
        ("matplotlib.Figure", ("matplotlib",)),
        ("plotly.Figure", ("plotly",)),
        ("torch.Tensor", ("torch", "safetensors")),
        ("onnx.ModelProto", ("onnx",)),
        ("dict[str, float]", ()),
        ("", ()),
    ],
)
def test_a_type_tells_what_must_be_installed(annotation: str, needed: tuple[str, ...]) -> None:
    """The distributions of the codec that would take it."""
    assert distributions_for(annotation) == needed


def test_every_codec_is_examined() -> None:
    """No codec is without its exam."""
    examined = {each.codec.name for each in CodecExam.__subclasses__()}

    assert {codec.name for codec in (*CODECS, LAST_RESORT)} == examined
