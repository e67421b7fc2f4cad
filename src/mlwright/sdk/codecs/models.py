"""Models of scikit-learn, as skops: a zip of JSON and .npy that runs nothing when it is read.

skops names parts by their addresses in memory and stamps them with the time. Here they are numbered in
the order they stand in, at one fixed date, so that equal models have equal bytes.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

from mlwright.kernel.errors import Invalid
from mlwright.sdk.codecs.unstorable import Unstorable

AUDITED = frozenset(
    f"{module}.{name}"
    for module, names in {
        "catboost.core": "CatBoost CatBoostClassifier CatBoostRanker CatBoostRegressor",
        "collections": "OrderedDict",
        "lightgbm.basic": "Booster",
        "lightgbm.sklearn": "LGBMClassifier LGBMRanker LGBMRegressor",
        "numpy": "dtype max mean median min",
        "scipy._lib.array_api_compat.numpy._aliases": "asarray",
        "scipy.interpolate._bsplines": "BSpline",
        "scipy.sparse._coo": "coo_array coo_matrix",
        "scipy.sparse._csc": "csc_array csc_matrix",
        "scipy.sparse._csr": "csr_array csr_matrix",
        "sklearn._loss.loss": "HalfTweedieLoss HalfTweedieLossIdentity",
        "sklearn.calibration": "_CalibratedClassifier _SigmoidCalibration _TemperatureScaling",
        "sklearn.cluster._bisect_k_means": "_BisectingTree",
        "sklearn.cluster._kmeans": "_kmeans_single_elkan _kmeans_single_lloyd",
        "sklearn.ensemble._hist_gradient_boosting.predictor": "TreePredictor",
        "sklearn.feature_selection._mutual_info": "mutual_info_classif mutual_info_regression",
        "sklearn.feature_selection._univariate_selection": "chi2 f_classif f_oneway f_regression"
        " r_regression",
        "sklearn.gaussian_process._gpc": "_BinaryGaussianProcessClassifierLaplace",
        "sklearn.gaussian_process.kernels": "CompoundKernel ConstantKernel DotProduct ExpSineSquared"
        " Exponentiation Matern PairwiseKernel Product RBF RationalQuadratic Sum WhiteKernel",
        "sklearn.metrics._classification": "accuracy_score balanced_accuracy_score f1_score log_loss"
        " matthews_corrcoef precision_score recall_score",
        "sklearn.metrics._dist_metrics": "ChebyshevDistance64 EuclideanDistance64 HaversineDistance64"
        " ManhattanDistance64 MinkowskiDistance64 SEuclideanDistance64",
        "sklearn.metrics._ranking": "average_precision_score roc_auc_score",
        "sklearn.metrics._regression": "mean_absolute_error mean_squared_error r2_score"
        " root_mean_squared_error",
        "sklearn.metrics._scorer": "_CurveScorer _PassthroughScorer _Scorer",
        "sklearn.model_selection._search_successive_halving": "HalvingGridSearchCV HalvingRandomSearchCV",
        "sklearn.model_selection._split": "GroupKFold KFold LeaveOneOut RepeatedKFold RepeatedStratifiedKFold"
        " ShuffleSplit StratifiedGroupKFold StratifiedKFold StratifiedShuffleSplit TimeSeriesSplit",
        "sklearn.multiclass": "_ConstantPredictor",
        "sklearn.neighbors._ball_tree": "BallTree",
        "sklearn.neighbors._kd_tree": "KDTree",
        "sklearn.neural_network._stochastic_optimizers": "AdamOptimizer SGDOptimizer",
        "sklearn.tree._tree": "Tree",
        "sklearn.utils._bunch": "Bunch",
        "sklearn.utils._metadata_requests": "MetadataRequest MethodMetadataRequest",
        "xgboost.core": "Booster",
        "xgboost.sklearn": "XGBClassifier XGBRFClassifier XGBRFRegressor XGBRanker XGBRegressor",
    }.items()
    for name in names.split()
)
"""What may be built from a file beside what skops itself trusts. By name, not by library: a file may have
anything named in it called, and NumPy, SciPy and scikit-learn hold functions that run any text as code."""
_DATE = (1980, 1, 1, 0, 0, 0)
_SCHEMA = "schema.json"
_ADDRESS = "_stop_words_id"
"""Where a vectorizer keeps the address in memory of its stop words: another one in each process."""


class SklearnCodec:
    """Estimators, transformers and pipelines made of audited types of scikit-learn, NumPy and SciPy.

    In a pipeline there may be estimators of XGBoost, LightGBM and CatBoost too.
    """

    name = "sklearn"
    libraries = ("sklearn",)
    distributions: tuple[str, ...] = ("scikit-learn", "skops")
    dumps = loads = None

    def matches(self, value: Any) -> bool:
        """Whether it is an estimator."""
        base = sys.modules.get("sklearn.base")
        return base is not None and isinstance(value, base.BaseEstimator)

    def encode(self, value: Any, path: Path) -> None:
        """Canonical skops bytes.

        Raises:
            Unstorable: the model holds types that no reader would be allowed to build.
        """
        import skops.io

        try:
            raw = skops.io.dumps(value)
        except skops.io.exceptions.UnsupportedTypeException as error:
            raise Unstorable(f"this model holds what skops does not take: {error}") from error
        try:
            _refuse_foreign(skops.io.get_untrusted_types(data=raw), "this model")
        except Invalid as error:
            raise Unstorable(error.message, hint=error.hint) from None
        path.write_bytes(_canonical(raw))

    def decode(self, path: Path, wanted: str, scratch: Path) -> Any:
        """The model.

        Raises:
            Invalid: the file asks for types that no model of ours holds.
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
    foreign = [name for name in types if name not in AUDITED]
    if foreign:
        raise Invalid(
            f"{what} holds types that are not safe to load: {', '.join(foreign)}",
            hint="use estimators of scikit-learn, and keep your own functions in a step before the model",
        )


def _canonical(raw: bytes) -> bytes:
    """Equal models, equal bytes: number the parts, sort the zip, fix its dates."""
    parts = _unzipped(raw)
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
            if isinstance(address := node.get(_ADDRESS), dict):
                address["content"] = "0"
            if isinstance(old := node.get("file"), str) and old in parts:
                node["file"] = files.setdefault(old, f"{len(files)}{Path(old).suffix}")
            for child in node.values():
                renumber(child)
        elif isinstance(node, list):
            for child in node:
                renumber(child)

    renumber(schema)
    entries = {files[name]: _canonical_part(name, data) for name, data in parts.items() if name in files}
    return _zipped({**entries, _SCHEMA: json.dumps(schema, separators=(",", ":")).encode()})


def _canonical_part(name: str, data: bytes) -> bytes:
    """Between the fields of a tree's nodes lies what the memory held before."""
    if not name.endswith(".npy"):
        return data
    import numpy

    array = numpy.lib.format.read_array(io.BytesIO(data))
    if array.dtype.names is None:
        return data
    clean = numpy.zeros(array.shape, array.dtype)
    for field in array.dtype.names:
        clean[field] = array[field]
    target = io.BytesIO()
    numpy.save(target, clean, allow_pickle=False)
    return target.getvalue()


def _unzipped(raw: bytes) -> dict[str, bytes]:
    import zipfile  # 8 ms that a step without a model need not wait for

    with zipfile.ZipFile(io.BytesIO(raw)) as source:
        return {name: source.read(name) for name in source.namelist()}


def _zipped(entries: dict[str, bytes]) -> bytes:
    import zipfile

    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(entries):
            info = zipfile.ZipInfo(name, _DATE)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, entries[name], compresslevel=1)
    return target.getvalue()
