"""``argosy graph``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from argosy.cli.arguments import parse_target
from argosy.cli.workflows import trace_target
from argosy.flow.graph import graph_to_json


def graph(words: Sequence[str], output: str) -> None:
    traced = trace_target(parse_target(words, "graph")).graph
    match output:
        case "json":
            sys.stdout.buffer.write(graph_to_json(traced) + b"\n")
        case "mermaid":
            from argosy.flow.render import render_mermaid

            sys.stdout.write(render_mermaid(traced))
        case _:
            from argosy.flow.render import render_text

            sys.stdout.write(render_text(traced))
