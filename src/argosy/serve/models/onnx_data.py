"""An ONNX file and the files that hold its larger tensors."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from argosy.errors import InvalidInput
from argosy.serve.models import protobuf

# Field numbers of onnx.proto.
_MODEL_GRAPH, _MODEL_FUNCTIONS = 7, 25
_GRAPH_NODE, _GRAPH_INITIALIZER, _FUNCTION_NODE = 1, 5, 7
_NODE_ATTRIBUTE = 5
_ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH, _ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS = 5, 6, 10, 11
_TENSOR_EXTERNAL = 13
_ENTRY_KEY, _ENTRY_VALUE = 1, 2


def copy(file: Path, target: Path) -> None:
    """Copy the file and what it refers to. Raises InvalidInput for what is missing or lies elsewhere."""
    for location in sorted(locations(file)):
        relative = PurePosixPath(location)
        source = file.parent / relative
        if relative.is_absolute() or ".." in relative.parts:
            raise InvalidInput(
                f"{file} refers to {location!r}, which lies outside its folder",
                hint="save the model again with its data beside it",
            )
        if not source.is_file():
            raise InvalidInput(
                f"{file} keeps its weights in {location!r}, which is not there",
                hint="copy that file beside the model",
            )
        (target.parent / relative).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target.parent / relative)
    shutil.copyfile(file, target)


def locations(file: Path) -> set[str]:
    """The files with external tensors that an ONNX file names. Raises InvalidInput when it is not one."""
    try:
        return set(_of_model(memoryview(file.read_bytes())))
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{file} is not an ONNX file: {error}", hint="export it again") from None


def _of_model(model: memoryview) -> Iterator[str]:
    for graph in protobuf.fields(model, _MODEL_GRAPH):
        yield from _of_graph(graph)
    for function in protobuf.fields(model, _MODEL_FUNCTIONS):
        for node in protobuf.fields(function, _FUNCTION_NODE):
            yield from _of_node(node)


def _of_graph(graph: memoryview) -> Iterator[str]:
    for tensor in protobuf.fields(graph, _GRAPH_INITIALIZER):
        yield from _of_tensor(tensor)
    for node in protobuf.fields(graph, _GRAPH_NODE):
        yield from _of_node(node)


def _of_node(node: memoryview) -> Iterator[str]:
    for attribute in protobuf.fields(node, _NODE_ATTRIBUTE):
        for number in (_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS):
            for graph in protobuf.fields(attribute, number):
                yield from _of_graph(graph)
        for number in (_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS):
            for tensor in protobuf.fields(attribute, number):
                yield from _of_tensor(tensor)


def _of_tensor(tensor: memoryview) -> Iterator[str]:
    for entry in protobuf.fields(tensor, _TENSOR_EXTERNAL):
        key = b"".join(protobuf.fields(entry, _ENTRY_KEY))
        if key == b"location":
            yield b"".join(protobuf.fields(entry, _ENTRY_VALUE)).decode()
