"""The messages of gRPC services, as Protocol Buffers: written from the names and numbers of their fields.

They are made in a pool of their own: a model's packages may know messages of the same names.

Source: Open Inference Protocol, specification/protocol/open_inference_grpc.proto, with the parameters of
Triton's grpc_service.proto; gRPC, grpc/health/v1/health.proto.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from mlwright.serving.problems import Problem

Fields = dict[str, tuple[int, str]]
"""The number of each field and its type: `*` stands for many, `a>` for one by each name; a word in capitals
is another message."""

_PARAMETERS = "a>InferParameter"
_TENSOR: Fields = {
    "name": (1, "string"),
    "datatype": (2, "string"),
    "shape": (3, "int64*"),
    "parameters": (4, _PARAMETERS),
    "contents": (5, "InferTensorContents"),
}
_NAMED: Fields = {"name": (1, "string"), "version": (2, "string")}
_INFERENCE: dict[str, Fields] = {
    "ServerLiveRequest": {},
    "ServerLiveResponse": {"live": (1, "bool")},
    "ServerReadyRequest": {},
    "ServerReadyResponse": {"ready": (1, "bool")},
    "ModelReadyRequest": _NAMED,
    "ModelReadyResponse": {"ready": (1, "bool")},
    "ServerMetadataRequest": {},
    "ServerMetadataResponse": _NAMED | {"extensions": (3, "string*")},
    "ModelMetadataRequest": _NAMED,
    "ModelMetadataResponse": {
        "name": (1, "string"),
        "versions": (2, "string*"),
        "platform": (3, "string"),
        "inputs": (4, "TensorMetadata*"),
        "outputs": (5, "TensorMetadata*"),
    },
    "TensorMetadata": {"name": (1, "string"), "datatype": (2, "string"), "shape": (3, "int64*")},
    "InferParameter": {
        "bool_param": (1, "bool?"),
        "int64_param": (2, "int64?"),
        "string_param": (3, "string?"),
        "double_param": (4, "double?"),
        "uint64_param": (5, "uint64?"),
    },
    "InferTensorContents": {
        "bool_contents": (1, "bool*"),
        "int_contents": (2, "int32*"),
        "int64_contents": (3, "int64*"),
        "uint_contents": (4, "uint32*"),
        "uint64_contents": (5, "uint64*"),
        "fp32_contents": (6, "float*"),
        "fp64_contents": (7, "double*"),
        "bytes_contents": (8, "bytes*"),
    },
    "InferInputTensor": _TENSOR,
    "InferRequestedOutputTensor": {"name": (1, "string"), "parameters": (2, _PARAMETERS)},
    "InferOutputTensor": _TENSOR,
    "ModelInferRequest": {
        "model_name": (1, "string"),
        "model_version": (2, "string"),
        "id": (3, "string"),
        "parameters": (4, _PARAMETERS),
        "inputs": (5, "InferInputTensor*"),
        "outputs": (6, "InferRequestedOutputTensor*"),
        "raw_input_contents": (7, "bytes*"),
    },
    "ModelInferResponse": {
        "model_name": (1, "string"),
        "model_version": (2, "string"),
        "id": (3, "string"),
        "parameters": (4, _PARAMETERS),
        "outputs": (5, "InferOutputTensor*"),
        "raw_output_contents": (6, "bytes*"),
    },
}
_HEALTH: dict[str, Fields] = {
    "HealthCheckRequest": {"service": (1, "string")},
    "HealthCheckResponse": {"status": (1, "int32")},  # an enum: on the wire the same
}
_MOST_FIELDS = 65_536
_SMALL_BYTES = 64 << 10
"""Messages in which no more than some megabytes can be hidden are not counted."""
_INPUTS, _OUTPUTS = 5, 6


def _made(package: str, messages: dict[str, Fields]) -> dict[str, Any]:
    file = FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            _add_field(message, package, field, number, kind)
    pool = DescriptorPool()
    described = pool.AddSerializedFile(file.SerializeToString()) or pool.FindFileByName(file.name)
    return {name: GetMessageClass(described.message_types_by_name[name]) for name in messages}


def _add_field(message: DescriptorProto, package: str, name: str, number: int, kind: str) -> None:
    optional, many = FieldDescriptorProto.LABEL_OPTIONAL, FieldDescriptorProto.LABEL_REPEATED
    named, _, of = kind.rpartition(">")
    plain = of.rstrip("*?")
    field = message.field.add(name=name, number=number, label=many if named or of.endswith("*") else optional)
    if kind.endswith("?"):  # one of them, or none
        if not message.oneof_decl:
            message.oneof_decl.add(name="choice")
        field.oneof_index = 0
    if named:
        entry = message.nested_type.add(name=f"{name.title()}Entry")
        entry.options.map_entry = True
        _add_field(entry, package, "key", 1, "string")
        _add_field(entry, package, "value", 2, plain)
        plain = f"{message.name}.{entry.name}"
    if plain[0].isupper():
        field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".{package}.{plain}"
    else:
        field.type = FieldDescriptorProto.Type.Value(f"TYPE_{plain.upper()}")


INFERENCE = _made("inference", _INFERENCE)
HEALTH = _made("grpc.health.v1", _HEALTH)


def read(kind: Any, raw: bytes) -> Any:
    """A message.

    Args:
        kind: its class.
        raw: as it came.

    Raises:
        Problem: 400, it is none.
    """
    try:
        return kind.FromString(raw)
    except DecodeError as error:
        said = f"the message is no {kind.DESCRIPTOR.full_name} of Protocol Buffers: {error}"
        raise Problem(400, said[:300]) from None


def read_asked(raw: bytes) -> Any:
    """A `ModelInferRequest`; what is in a large one is counted first: two bytes may become a hundred.

    Raises:
        Problem: 400, it is none; 413, it has more parts than any request has.
    """
    if len(raw) > _SMALL_BYTES and _fields(memoryview(raw), _MOST_FIELDS) > _MOST_FIELDS:
        raise Problem(413, f"the message has more than {_MOST_FIELDS:,} parts")
    return read(INFERENCE["ModelInferRequest"], raw)


def _fields(raw: memoryview, most: int, *, inside: bool = True) -> int:
    """How many fields a message has, and inside its inputs and outputs; counts no further than to `most`.

    What is no message is left to who reads it.
    """
    at, count = 0, 0
    while at < len(raw) and count <= most:
        tag, at = _varint(raw, at)
        begin = at
        match tag & 7:
            case 0:
                _, at = _varint(raw, at)
            case 1:
                at += 8
            case 2:
                size, begin = _varint(raw, at)
                at = begin + size
                if inside and tag >> 3 in {_INPUTS, _OUTPUTS}:
                    count += _fields(raw[begin:at], most - count, inside=False)
            case 5:
                at += 4
        count += 1
    return count


def _varint(raw: memoryview, at: int) -> tuple[int, int]:
    """A number, and where it ends; of one that has no end, or too late a one, what there is."""
    value = shift = 0
    while at < len(raw) and shift < 70:
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
    return value, at
