"""``serve``: models made a named service; ``arriving``: results used as they come."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar, cast

from argosy.errors import InvalidRequest
from argosy.flow.current import current_trace
from argosy.flow.service_options import (
    Access,
    Balancing,
    Batching,
    Ensemble,
    Release,
    Scaling,
    Sharding,
    Strategy,
    TierLimit,
)

T = TypeVar("T")
Function = Callable[..., Any]


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
    aggregate: str | Function = "mean",
    *,
    strategy: Strategy | str | None = None,
    scaling: Scaling | None = None,
    batching: Batching | None = None,
    balancing: Balancing | None = None,
    sharding: Sharding | None = None,
    ensemble: Ensemble | None = None,
    weights: Sequence[float] | None = None,
    clean: Function | None = None,
    limits: Access | Mapping[str, TierLimit] | None = None,
    require_token: bool | None = None,
    release: Release | None = None,
) -> Endpoint:
    """Make ``models`` the service ``name``, which outlives the run; the node is done when it is ready.

    ``name`` is a DNS label; ``replicas`` is (fewest, most) for each model, or one number for both; the fewest
    may be 0. ``strategy`` is ``replicated``, ``sharded`` or ``event``. ``aggregate`` is how the answers of
    several models become one: ``mean``, ``weighted_mean`` with ``weights``, ``majority_vote``, or a function
    of this file. ``clean`` is a function of this file that a sharded service gives each part of its answer.
    ``limits`` are those of callers, by tier. Serving the same name again makes a new revision of the service,
    which ``release`` lets take over, or part of the requests. Raises InvalidRequest outside a workflow.
    """
    trace = current_trace.get()
    if trace is None:
        raise InvalidRequest(
            "serve was called outside a workflow", hint="call it in a function under @workflow"
        )
    by_function = callable(aggregate)
    options = {
        "strategy": strategy,
        "scaling": scaling,
        "batching": batching,
        "balancing": balancing,
        "sharding": sharding,
        "ensemble": ensemble,
        "weights": weights,
        "clean": clean,
        "function": aggregate if by_function else None,
        "limits": limits,
        "require_token": require_token,
        "release": release,
    }
    how = "function" if by_function else aggregate
    return cast("Endpoint", trace.add_service(name, models, replicas, how, options))


class ArrivingList(list[Any]):
    """A list whose consumer runs each time another of its items arrives."""


def arriving(results: Sequence[T]) -> list[T]:
    """``results``, for a consumer that runs again each time another arrives, with all that are there.

    ``results`` is a list of results of steps, such as ``[train(data, a) for a in architectures]``. Outside a
    workflow everything has arrived already.
    """
    trace = current_trace.get()
    return list(results) if trace is None else cast("list[T]", trace.arriving(results))
