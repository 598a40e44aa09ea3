"""The messages of the Open Inference Protocol over gRPC, described here and made at run time.

They live in a pool of their own, so that a client library in the same process may bring its own of the same
names. Names of message types are not on the wire; numbers of fields are.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"

_PARAMETERS = ("parameters", "map InferParameter")
_TENSOR_HEAD = {1: ("name", "string"), 2: ("datatype", "string"), 3: ("shape", "repeated int64")}
_TENSOR = {**_TENSOR_HEAD, 4: _PARAMETERS, 5: ("contents", "InferTensorContents")}

# By message: the number of each field, its name and its type.
_MESSAGES: Mapping[str, Mapping[int, tuple[str, str]]] = {
    "ServerLiveRequest": {},
    "ServerLiveResponse": {1: ("live", "bool")},
    "ServerReadyRequest": {},
    "ServerReadyResponse": {1: ("ready", "bool")},
    "ModelReadyRequest": {1: ("name", "string"), 2: ("version", "string")},
    "ModelReadyResponse": {1: ("ready", "bool")},
    "ServerMetadataRequest": {},
    "ServerMetadataResponse": {
        1: ("name", "string"),
        2: ("version", "string"),
        3: ("extensions", "repeated string"),
    },
    "ModelMetadataRequest": {1: ("name", "string"), 2: ("version", "string")},
    "TensorMetadata": _TENSOR_HEAD,
    "ModelMetadataResponse": {
        1: ("name", "string"),
        2: ("versions", "repeated string"),
        3: ("platform", "string"),
        4: ("inputs", "repeated TensorMetadata"),
        5: ("outputs", "repeated TensorMetadata"),
        6: ("properties", "map string"),
    },
    "InferParameter": {
        1: ("bool_param", "one bool"),
        2: ("int64_param", "one int64"),
        3: ("string_param", "one string"),
        4: ("double_param", "one double"),
        5: ("uint64_param", "one uint64"),
    },
    "InferTensorContents": {
        1: ("bool_contents", "repeated bool"),
        2: ("int_contents", "repeated int32"),
        3: ("int64_contents", "repeated int64"),
        4: ("uint_contents", "repeated uint32"),
        5: ("uint64_contents", "repeated uint64"),
        6: ("fp32_contents", "repeated float"),
        7: ("fp64_contents", "repeated double"),
        8: ("bytes_contents", "repeated bytes"),
    },
    "InferInputTensor": _TENSOR,
    "InferOutputTensor": _TENSOR,
    "InferRequestedOutputTensor": {1: ("name", "string"), 2: _PARAMETERS},
    "ModelInferRequest": {
        1: ("model_name", "string"),
        2: ("model_version", "string"),
        3: ("id", "string"),
        4: _PARAMETERS,
        5: ("inputs", "repeated InferInputTensor"),
        6: ("outputs", "repeated InferRequestedOutputTensor"),
        7: ("raw_input_contents", "repeated bytes"),
    },
    "ModelInferResponse": {
        1: ("model_name", "string"),
        2: ("model_version", "string"),
        3: ("id", "string"),
        4: _PARAMETERS,
        5: ("outputs", "repeated InferOutputTensor"),
        6: ("raw_output_contents", "repeated bytes"),
    },
    "ModelStreamInferResponse": {
        1: ("error_message", "string"),
        2: ("infer_response", "ModelInferResponse"),
    },
}

# Where the values of a datatype are when they are not raw bytes; the 16-bit floats have no place.
CONTENTS: Mapping[str, str] = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


@functools.cache
def message_types() -> Mapping[str, Any]:
    """The message classes by name."""
    from google.protobuf import descriptor_pool, message_factory

    pool = descriptor_pool.DescriptorPool()
    pool.Add(_file())
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))
        for name in _MESSAGES
    }


def _file() -> Any:
    from google.protobuf import descriptor_pb2

    file = descriptor_pb2.FileDescriptorProto(name="open_inference.proto", package=PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in fields.items():
            _add_field(message, number, field, kind)
    return file


def _add_field(message: Any, number: int, name: str, kind: str) -> None:
    label, _, of = kind.rpartition(" ")
    if label == "map":
        _add_map(message, number, name, of)
        return
    field = message.field.add(name=name, number=number)
    _set_type(field, of)
    field.label = field.LABEL_REPEATED if label == "repeated" else field.LABEL_OPTIONAL
    if label == "one":
        if not message.oneof_decl:
            message.oneof_decl.add(name="parameter_choice")
        field.oneof_index = 0


def _add_map(message: Any, number: int, name: str, of: str) -> None:
    """A map is, on the wire, a list of messages of key and value."""
    entry = message.nested_type.add(name="".join(part.title() for part in name.split("_")) + "Entry")
    entry.options.map_entry = True
    _add_field(entry, 1, "key", "string")
    _add_field(entry, 2, "value", of)
    field = message.field.add(name=name, number=number)
    field.label = field.LABEL_REPEATED
    field.type = field.TYPE_MESSAGE
    field.type_name = f".{PACKAGE}.{message.name}.{entry.name}"


def _set_type(field: Any, of: str) -> None:
    if of in _MESSAGES:
        field.type = field.TYPE_MESSAGE
        field.type_name = f".{PACKAGE}.{of}"
    else:
        field.type = getattr(field, f"TYPE_{of.upper()}")
