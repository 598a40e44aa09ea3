"""``serve``: models made a named service; ``arriving``: results used as they come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar, cast

from argosy.errors import InvalidRequest
from argosy.flow.current import current_trace

T = TypeVar("T")


class ServableModel(Protocol):
    """What :func:`serve` takes: ``argosy.Model``, seen from a room that may not import it."""

    @property
    def name(self) -> str: ...

    @property
    def metrics(self) -> Mapping[str, float]: ...


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a service answers. A step that takes one runs when the service is ready."""

    artifact_type: ClassVar[str] = "endpoint"

    name: str
    url: str

    @classmethod
    def from_json(cls, value: Endpoint | Mapping[str, Any]) -> Endpoint:
        return value if isinstance(value, Endpoint) else cls(name=value["name"], url=value["url"])


def serve(
    name: str,
    models: Sequence[ServableModel],
    replicas: tuple[int, int] | int = (1, 1),
    aggregate: str = "mean",
) -> Endpoint:
    """Make ``models`` the service ``name``, which outlives the run; the node is done when it is ready.

    ``name`` is a DNS label; ``replicas`` is (fewest, most) for each model, or one number for both;
    ``aggregate`` is how the answers of several models become one. Serving the same name again makes a new
    revision of the service. Raises InvalidRequest outside a workflow.
    """
    trace = current_trace.get()
    if trace is None:
        raise InvalidRequest(
            "serve was called outside a workflow", hint="call it in a function under @workflow"
        )
    return cast("Endpoint", trace.add_service(name, models, replicas, aggregate))


class ArrivingList(list[Any]):
    """A list whose consumer runs each time another of its items arrives."""


def arriving(results: Sequence[T]) -> list[T]:
    """``results``, for a consumer that runs again each time another arrives, with all that are there.

    ``results`` is a list of results of steps, such as ``[train(data, a) for a in architectures]``. Outside a
    workflow everything has arrived already.
    """
    trace = current_trace.get()
    return list(results) if trace is None else cast("list[T]", trace.arriving(results))
