"""ONNX files are looked at before anything reads them."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mlwright.kernel.errors import Invalid
from mlwright.sdk.onnx_files import refuse_outside


def tensor(*, outside: bool) -> TensorProto:
    """Weights, in the file itself or in another one."""
    made = numpy_helper.from_array(np.arange(3.0), "weights")
    if outside:
        made.data_location = TensorProto.EXTERNAL
        made.external_data.add(key="location", value="/etc/passwd")
        made.ClearField("raw_data")
    return made


def model_with(where: str, weights: TensorProto, column: str = "x") -> bytes:
    """A model that has weights at a place."""
    graph = helper.make_graph(
        [helper.make_node("Identity", [column], ["y"])],
        "graph",
        [helper.make_tensor_value_info(column, TensorProto.DOUBLE, [3])],
        [helper.make_tensor_value_info("y", TensorProto.DOUBLE, [3])],
    )
    made = helper.make_model(graph)
    if where == "graph":
        graph.initializer.append(weights)
        made.graph.CopyFrom(graph)
    elif where == "sparse":
        made.graph.sparse_initializer.add().values.CopyFrom(weights)
    elif where == "attribute":
        made.graph.node.append(helper.make_node("Constant", [], ["c"], value=weights))
    elif where == "branch":
        inner = helper.make_graph([], "inner", [], [], initializer=[weights])
        made.graph.node.append(helper.make_node("If", ["x"], ["c"], then_branch=inner, else_branch=inner))
    elif where == "function":
        made.functions.add().node.append(helper.make_node("Constant", [], ["c"], value=weights))
    return made.SerializeToString()


PLACES = ["graph", "sparse", "attribute", "branch", "function"]


@pytest.mark.parametrize("where", PLACES)
def test_weights_in_another_file_are_refused_wherever_they_are_named(where: str) -> None:
    """A path in a model could name any file of the machine: it is refused, however deep it stands."""
    data = model_with(where, tensor(outside=True))

    with pytest.raises(Invalid, match=r"the model keeps weights in another file"):
        refuse_outside(data, "the model")


@pytest.mark.parametrize("where", PLACES)
def test_weights_in_the_file_are_taken_whatever_things_are_called(where: str) -> None:
    """A column that is called as such a path's key is no reason to refuse."""
    data = model_with(where, tensor(outside=False), column="location")

    refuse_outside(data, "the model")

    assert onnx.load_model_from_string(data).graph.input[0].name == "location"


@pytest.mark.parametrize(
    "data", [b"\x3a\xff\xff\x7flocation", b"\x3b location", b"\xff" * 12 + b"location", b"location\x80"]
)
def test_what_is_no_model_is_refused(data: bytes) -> None:
    """Lengths beyond the end, groups and endless numbers are no ONNX model."""
    with pytest.raises(Invalid, match="is no ONNX model"):
        refuse_outside(data, "the model")
