"""``argosy graph``."""

from __future__ import annotations

from collections.abc import Sequence

from argosy.cli.arguments import parse_target
from argosy.cli.output import raw, show
from argosy.cli.workflows import trace_target
from argosy.flow.graph import graph_to_json


def graph(words: Sequence[str], output: str) -> None:
    traced = trace_target(parse_target(words, "graph")).graph
    match output:
        case "json":
            raw(graph_to_json(traced) + b"\n")
        case "mermaid":
            from argosy.flow.render import render_mermaid

            show(render_mermaid(traced).rstrip())
        case _:
            from argosy.flow.render import render_text

            show(render_text(traced).rstrip())
