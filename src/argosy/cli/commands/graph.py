"""``argosy graph``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from argosy.cli.arguments import parse_target
from argosy.cli.graphs import mermaid, text
from argosy.cli.output import show
from argosy.cli.workflows import trace_target
from argosy.flow.graph import graph_to_json


def graph(words: Sequence[str], output: str) -> None:
    traced = trace_target(parse_target(words, "graph")).graph
    match output:
        case "json":
            sys.stdout.flush()
            sys.stdout.buffer.write(graph_to_json(traced) + b"\n")
        case "mermaid":
            show(mermaid(traced))
        case _:
            show(text(traced))
