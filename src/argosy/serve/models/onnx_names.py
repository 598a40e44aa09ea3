"""The names inside a converted ONNX graph, made the same each time the same model is converted.

The converter counts on from one conversion to the next. Names that depend on the model alone let two
signatures with one content be one file, and the same import give the same digest.
"""

from __future__ import annotations

import re
from typing import Any

_COUNTED = re.compile(r"__\d+")


def make_stable(model: Any) -> None:
    """Number the names of an ``onnx.ModelProto`` by their order in it; inputs and outputs keep theirs."""
    graph = model.graph
    kept = {value.name for value in (*graph.input, *graph.output)}
    names = {"": ""} | {name: name for name in kept}
    graph.name, graph.doc_string, model.doc_string = "signature", "", ""
    _rename(graph, names)


def _rename(graph: Any, names: dict[str, str]) -> None:
    def stable(name: str) -> str:
        if name not in names:
            base, _, output = _COUNTED.sub("", name).partition(":")
            names[name] = f"{base}__{len(names)}" + (f":{output}" if output else "")
        return names[name]

    del graph.value_info[:]
    for value in (*graph.input, *graph.output):
        value.name = stable(value.name)
    for node in graph.node:
        for given in (node.input, node.output):
            given[:] = [stable(name) for name in given]
        node.name, node.doc_string = "-".join(filter(None, node.output)), ""
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                inner.name, inner.doc_string = "body", ""
                _rename(inner, names)
    for tensor in graph.initializer:
        tensor.name = stable(tensor.name)
    tensors = sorted(graph.initializer, key=lambda tensor: str(tensor.name))
    del graph.initializer[:]
    graph.initializer.extend(tensors)
