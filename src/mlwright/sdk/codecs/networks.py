"""Neural networks: torch's state dicts as safetensors, and ONNX models as they are."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlwright.kernel.errors import Invalid
from mlwright.sdk.codecs.unstorable import Unstorable

_PROTO_BYTES = 2**31 - 1
"""A message of protobuf is never larger."""


class TorchCodec:
    """Tensors by name, as `model.state_dict()` gives them; they come back as a `dict`, on the CPU."""

    name = "torch"
    libraries = ("torch",)
    distributions: tuple[str, ...] = ("torch", "safetensors")
    dumps = loads = None

    def matches(self, value: Any) -> bool:
        """Whether it is a dictionary with nothing but tensors in it."""
        torch = sys.modules.get("torch")
        return (
            torch is not None
            and type(value) in (dict, OrderedDict)
            and bool(value)
            and all(type(key) is str for key in value)
            and all(isinstance(each, torch.Tensor) for each in value.values())
        )

    def encode(self, value: Any, path: Path) -> None:
        """The tensors' numbers; what shares its memory with another is written for itself.

        Raises:
            Unstorable: tensors that are sparse, quantised or on no device.
        """
        from safetensors.torch import save_file

        plain, seen = {}, set()
        for name in sorted(value):
            tensor = value[name].detach()
            if tensor.layout != sys.modules["torch"].strided or tensor.is_quantized or tensor.is_meta:
                raise Unstorable(
                    f"the tensor `{name}` ({tensor.dtype}, {tensor.layout}, on {tensor.device}) is none that"
                    " safetensors takes"
                )
            tensor = tensor.to("cpu").contiguous()
            memory = tensor.untyped_storage().data_ptr()
            plain[name] = tensor.clone() if memory in seen else tensor
            seen.add(memory)
        try:
            save_file(plain, path)
        except (KeyError, ValueError, RuntimeError) as error:
            path.unlink(missing_ok=True)
            raise Unstorable(f"safetensors does not take these tensors: {error}") from error

    def decode(self, path: Path, wanted: str, scratch: Path) -> Any:
        """The tensors by name, in the order of their names, on the CPU."""
        from safetensors.torch import load_file

        return dict(sorted(load_file(path, device="cpu").items()))

    def describe(self, value: Any) -> dict[str, Any]:
        """How many tensors, and how many numbers in all."""
        return {"tensors": len(value), "numbers": sum(each.numel() for each in value.values())}


class OnnxCodec:
    """An ONNX `ModelProto` with its weights in it."""

    name = "onnx"
    libraries = ("onnx",)
    distributions: tuple[str, ...] = ("onnx",)
    dumps = loads = None

    def matches(self, value: Any) -> bool:
        """Whether it is such a model."""
        onnx = sys.modules.get("onnx")
        return onnx is not None and isinstance(value, getattr(onnx, "ModelProto", ()))

    def encode(self, value: Any, path: Path) -> None:
        """Its bytes, with the sets of operators in the order of their names: converters give them in any.

        Raises:
            Invalid: weights that lie in other files, more than protobuf takes, or no sound model.
        """
        _refuse_outside(value, "this ONNX model")
        if value.ByteSize() > _PROTO_BYTES:
            raise Invalid(
                "this ONNX model is larger than 2 GiB",
                hint="onnx.save(..., save_as_external_data=True) into a folder, and return its Path",
            )
        _check(value, "this ONNX model")
        path.write_bytes(_ordered(value).SerializeToString(deterministic=True))

    def decode(self, path: Path, wanted: str, scratch: Path) -> Any:
        """The model, checked. Nothing but this file is read.

        Raises:
            Invalid: no ONNX model, or one that names other files.
        """
        import onnx

        what = f"the ONNX model {path.name[:12]}"
        try:
            model = onnx.ModelProto.FromString(path.read_bytes())
        except Exception as error:  # protobuf's own, by whatever library it is made
            raise Invalid(f"{what} cannot be read: {error}") from error
        _refuse_outside(model, what)
        _check(model, what)
        return model

    def describe(self, value: Any) -> dict[str, Any]:
        """Its inputs and outputs, how many nodes, and the versions of its operators."""
        graph = value.graph
        weights = {each.name for each in graph.initializer}
        return {
            "inputs": [each.name for each in graph.input if each.name not in weights],
            "outputs": [each.name for each in graph.output],
            "nodes": len(graph.node),
            "opsets": {each.domain or "ai.onnx": each.version for each in value.opset_import},
        }


def _ordered(model: Any) -> Any:
    opsets = sorted(model.opset_import, key=lambda each: (each.domain, each.version))
    if opsets == list(model.opset_import):
        return model
    copy = type(model)()
    copy.CopyFrom(model)
    copy.ClearField("opset_import")
    copy.opset_import.extend(opsets)
    return copy


def _check(model: Any, what: str) -> None:
    from onnx import checker

    try:
        checker.check_model(model)
    except checker.ValidationError as error:
        raise Invalid(f"{what} is not sound: {str(error).partition(chr(10))[0]}") from error


def _refuse_outside(model: Any, what: str) -> None:
    """No weights in other files: a path in a model could name any file of the machine.

    Raises:
        Invalid: it has some.
    """
    for tensor in _tensors(model):
        if tensor.external_data or tensor.data_location:
            raise Invalid(
                f"{what} keeps the weights `{tensor.name}` in another file",
                hint="bring them in by onnx.load(path), or return the folder as a Path",
            )


def _tensors(message: Any) -> Iterator[Any]:
    """Every tensor in a message, however deep: in graphs, attributes, functions, training information."""
    waiting = [message]
    while waiting:
        each = waiting.pop()
        if each.DESCRIPTOR.name == "TensorProto":
            yield each
            continue
        for field, found in each.ListFields():
            if field.message_type is not None:
                waiting += [found] if hasattr(found, "DESCRIPTOR") else list(found)
