"""Authoring: ``@step`` and ``@workflow`` make a function a graph, which is pure data. See docs/flow.md."""

from __future__ import annotations

from argosy.flow.options import Gang, Memoize, Resources, Retry
from argosy.flow.services import Endpoint, arriving, serve
from argosy.flow.steps import Step, step
from argosy.flow.workflows import Parameter, Workflow, workflow

__all__ = [
    "Endpoint",
    "Gang",
    "Memoize",
    "Parameter",
    "Resources",
    "Retry",
    "Step",
    "Workflow",
    "arriving",
    "serve",
    "step",
    "workflow",
]
