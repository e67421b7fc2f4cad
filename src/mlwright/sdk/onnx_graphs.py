"""Estimators to ONNX by skl2onnx and onnxmltools, mended where these differ from what scikit-learn computes.

What is mended: scikit-learn's trees compare numbers that were rounded to single precision, all else computes
by double; ONNX Runtime's trees and imputers take single precision only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mlwright.kernel.errors import Invalid
from mlwright.sdk.onnx_model import LABEL, SHARES, TABLE, input_name
from mlwright.sdk.rows import AskedColumn

_OPSETS = {"": 18, "ai.onnx.ml": 3}
"""Old enough for every ONNX Runtime of the last years."""
_TREES = {"TreeEnsembleClassifier": 1, "TreeEnsembleRegressor": 0}
"""The nodes of trees, and which of their outputs is a number."""
_ROUNDED = 1e-6
"""How far rounding to single precision takes a share of a tree beyond 1, at most."""


def table_graph(model: Any, inputs: Sequence[AskedColumn], kinds: Sequence[str]) -> bytes:
    """A model as ONNX bytes, with an input for each column, or one tensor where all are numbers of one kind.

    Args:
        model: an estimator or a pipeline of these.
        inputs: the columns of the signature, in its order.
        kinds: for each column `double`, `float`, `int64`, `bool` or `string`.

    Raises:
        ImportError: a converter is not installed.
        Exception: whatever a converter raises for what it does not know.
    """
    from skl2onnx import convert_sklearn

    _register(model)
    one = len(set(kinds)) == 1 and kinds[0] in {"double", "float"}
    by_name = any(type(each).__name__ == "ColumnTransformer" for each in _parts(model))
    types = _types()
    if one and not by_name:
        given = [(TABLE, types[kinds[0]]([None, len(inputs)]))]
    else:
        given = [(each.name, types[kind]([None, 1])) for each, kind in zip(inputs, kinds, strict=True)]
    # Of a pipeline the option is its last step's.
    last = model.steps[-1][1] if hasattr(model, "steps") else model
    options = {id(last): {"zipmap": False}} if hasattr(model, "predict_proba") else None
    with _features_by_number(model):
        made = convert_sklearn(model, initial_types=given, options=options, target_opset=_OPSETS)
    _name_ends(made.graph, one and not by_name)
    if "float" not in kinds:
        _single_precision_trees(made.graph)
    if one and by_name:
        _one_tensor(made.graph, len(inputs), kinds[0])
    made.producer_version = made.doc_string = made.graph.doc_string = ""
    made.graph.name = "mlwright"  # it would be another each time
    data: bytes = made.SerializeToString(deterministic=True)
    return data


def _types() -> dict[str, Any]:
    from skl2onnx.common import data_types as types

    return {
        "double": types.DoubleTensorType,
        "float": types.FloatTensorType,
        "int64": types.Int64TensorType,
        "bool": types.BooleanTensorType,
        "string": types.StringTensorType,
    }


def _parts(model: Any) -> Iterator[Any]:
    """A model and the estimators that it is made of."""
    yield model
    for each in getattr(model, "get_params", dict)().values():
        if hasattr(each, "get_params") and not isinstance(each, type):
            yield each


@contextmanager
def _features_by_number(model: Any) -> Iterator[None]:
    """XGBoost's own names of columns are taken away while the block runs: its converter wants numbers."""
    boosters = [each.get_booster() for each in _parts(model) if hasattr(each, "get_booster")]
    names = [each.feature_names for each in boosters]
    for each in boosters:
        each.feature_names = None
    try:
        yield
    finally:
        for each, told in zip(boosters, names, strict=True):
            each.feature_names = told


def _register(model: Any) -> None:
    """Tell skl2onnx what it does not know, or not well: it keeps one register for the process."""
    import numpy
    from skl2onnx import update_registered_converter
    from skl2onnx.common import tree_ensemble
    from skl2onnx.common._container import ModelComponentContainer
    from skl2onnx.common._registration import get_converter, get_shape_calculator
    from sklearn.impute import SimpleImputer

    alias = "SklearnSimpleImputer"
    update_registered_converter(
        SimpleImputer, alias, get_shape_calculator(alias), _imputer(get_converter(alias))
    )
    add_node = ModelComponentContainer.add_node

    def add_plain(self: Any, *arguments: Any, **attributes: Any) -> Any:
        # Histogram boosting gives truth values where newer releases of ONNX take integers only.
        for name, value in attributes.items():
            if isinstance(value, list | numpy.ndarray) and any(
                isinstance(each, bool | numpy.bool_) for each in value
            ):
                attributes[name] = [int(each) for each in value]
        return add_node(self, *arguments, **attributes)

    if add_node.__name__ != add_plain.__name__:
        ModelComponentContainer.add_node = add_plain
    # The numbers that trees compare are of single precision here, whatever the model takes.
    rounded = tree_ensemble.sklearn_threshold
    tree_ensemble.sklearn_threshold = lambda value, kind, mode: rounded(value, numpy.float32, mode)
    for each in _parts(model):
        library = type(each).__module__.partition(".")[0]
        if library in {"xgboost", "lightgbm"}:
            _register_booster(each, library)


def _register_booster(model: Any, library: str) -> None:
    from skl2onnx import update_registered_converter
    from skl2onnx.common.shape_calculator import (
        calculate_linear_classifier_output_shapes,
        calculate_linear_regressor_output_shapes,
    )

    if library == "xgboost":
        from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost as convert
    else:
        from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm as convert
    known: dict[str, Any] = {"nocl": [True, False], "zipmap": [True, False, "columns"]}
    if hasattr(model, "predict_proba"):
        shapes, options = calculate_linear_classifier_output_shapes, known
    else:
        shapes = calculate_linear_regressor_output_shapes
        options = {"split": None} if library == "lightgbm" else {}
    kind = type(model)
    update_registered_converter(kind, f"{library}{kind.__name__}", shapes, convert, options=options)


def _imputer(before: Any) -> Any:
    """Imputing by double precision, for which ONNX Runtime has no node of its own."""

    def convert(scope: Any, operator: Any, container: Any) -> None:
        import numpy
        from skl2onnx.common.data_types import DoubleTensorType
        from skl2onnx.operator_converters.common import concatenate_variables

        imputer = operator.raw_operator
        doubles = all(isinstance(each.type, DoubleTensorType) for each in operator.inputs)
        missing = imputer.missing_values
        known = isinstance(missing, float) and numpy.isnan(missing) and imputer.indicator_ is None
        statistics = numpy.asarray(imputer.statistics_)
        if not doubles or not known or statistics.dtype.kind != "f" or numpy.isnan(statistics).any():
            before(scope, operator, container)
            return
        from onnx import TensorProto

        given = concatenate_variables(scope, operator.inputs, container)
        filled, lacks = (scope.get_unique_variable_name(each) for each in ("filled", "lacks"))
        container.add_initializer(filled, TensorProto.DOUBLE, [1, len(statistics)], statistics.tolist())
        container.add_node("IsNaN", [given], [lacks], name=scope.get_unique_operator_name("IsNaN"))
        where = scope.get_unique_operator_name("Where")
        container.add_node("Where", [lacks, filled, given], operator.outputs[0].full_name, name=where)

    return convert


def _name_ends(graph: Any, one: bool) -> None:
    """Call inputs and outputs as they are known here, whatever the columns are called."""
    names = [TABLE] if one else [input_name(place) for place in range(len(graph.input))]
    ends = dict(zip([each.name for each in graph.input], names, strict=True))
    if len(graph.output) > 2:
        raise Invalid("it has several outputs")
    ends |= dict(zip([each.name for each in graph.output], (LABEL, SHARES), strict=False))
    inner = {each for node in graph.node for each in (*node.input, *node.output)} - ends.keys()
    moved = {name: f"inner_{name}" for name in inner & set(ends.values())} | ends
    for each in (*graph.input, *graph.output, *graph.initializer):
        each.name = moved.get(each.name, each.name)
    for node in graph.node:
        node.input[:] = [moved.get(each, each) for each in node.input]
        node.output[:] = [moved.get(each, each) for each in node.output]


def _single_precision_trees(graph: Any) -> None:
    """Give trees numbers of single precision, as scikit-learn does, and take back what they answer."""
    from onnx import TensorProto, helper

    nodes = []
    for number, node in enumerate(graph.node):
        if node.op_type not in _TREES:
            nodes.append(node)
            continue
        rounded, single = f"rounded_{number}", f"single_{number}"
        answer = node.output[_TREES[node.op_type]]
        nodes.append(helper.make_node("Cast", [node.input[0]], [rounded], to=TensorProto.FLOAT))
        node.input[0] = rounded
        node.output[_TREES[node.op_type]] = single
        nodes.append(node)
        if trees := _summed(node):
            nodes += _averaged(graph, node, number, (single, answer), trees)
        else:
            nodes.append(helper.make_node("Cast", [single], [answer], to=TensorProto.DOUBLE))
        for each in graph.output:
            if each.name == answer:
                each.type.tensor_type.elem_type = TensorProto.DOUBLE
    del graph.node[:]
    graph.node.extend(nodes)


def _averaged(graph: Any, node: Any, number: int, ends: tuple[str, str], trees: int) -> list[Any]:
    """What makes the shares of a forest of their sums, and of these the class, as scikit-learn does.

    Args:
        number: of the node, for names.
        ends: the sums, and what the shares are called.
        trees: how many there are.
    """
    from onnx import TensorProto, helper

    summed, count, place, known = (f"{name}_{number}" for name in ("summed", "trees", "place", "known"))
    single, answer = ends
    told = {each.name: each for each in node.attribute}
    if "classlabels_strings" in told:
        kind, classes = TensorProto.STRING, list(told["classlabels_strings"].strings)
    else:
        kind, classes = TensorProto.INT64, list(told["classlabels_int64s"].ints)
    graph.initializer.append(helper.make_tensor(count, TensorProto.DOUBLE, [1], [float(trees)]))
    graph.initializer.append(helper.make_tensor(known, kind, [len(classes)], classes))
    label, node.output[0] = node.output[0], f"label_{number}"  # which it finds by another way
    return [
        helper.make_node("Cast", [single], [summed], to=TensorProto.DOUBLE),
        helper.make_node("Div", [summed, count], [answer]),
        helper.make_node("ArgMax", [answer], [place], axis=1, keepdims=0),
        helper.make_node("Gather", [known, place], [label]),
    ]


def _summed(node: Any) -> int:
    """Have a forest sum the shares of its trees, which single precision does exactly if leaves are pure.

    skl2onnx divides the share in each leaf by the number of trees; scikit-learn divides their sum.

    Returns:
        What the sum is to be divided by; 0 of what is no forest, and stays as it is.
    """
    from onnx import helper

    told = {each.name: each for each in node.attribute}
    plain = "post_transform" not in told or told["post_transform"].s == b"NONE"
    if node.op_type != "TreeEnsembleClassifier" or not plain:
        return 0
    trees = len(set(told["nodes_treeids"].ints))
    shares = [each * trees for each in told["class_weights"].floats]
    if trees < 2 or min(shares) < 0 or max(shares) > 1 + _ROUNDED:
        return 0
    new: dict[str, list[Any]] = {"class_weights": shares}
    if len(set(told["class_ids"].ints)) == 1:  # of two classes it tells the share of the second one
        new["class_weights"] = [each for share in shares for each in (1 - share, share)]
        new["class_ids"] = [0, 1] * len(shares)
        for name in ("class_nodeids", "class_treeids"):
            new[name] = [each for each in told[name].ints for _ in range(2)]
    for name, values in new.items():
        told[name].CopyFrom(helper.make_attribute(name, values))
    return trees


def _one_tensor(graph: Any, columns: int, kind: str) -> None:
    """Take all columns as one tensor, which is made ten times as fast, and part it inside."""
    from onnx import TensorProto, helper

    element = TensorProto.DOUBLE if kind == "double" else TensorProto.FLOAT
    names = [input_name(place) for place in range(columns)]
    node = helper.make_node("Split", [TABLE], names, axis=1, num_outputs=columns)
    nodes = [node, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info(TABLE, element, [None, columns]))
