"""The graph of a workflow as pure data: what tracing yields and every engine reads."""

from __future__ import annotations

from typing import Any, NewType

import msgspec

from argosy.errors import InvalidRequest
from argosy.flow.service_options import ServiceOptions

NodeId = NewType("NodeId", str)

GRAPH_VERSION = 1


class Literal(msgspec.Struct, frozen=True, tag="literal"):
    """A JSON value known when the workflow was traced."""

    value: Any


class Reference(msgspec.Struct, frozen=True, tag="reference"):
    """The output of another node."""

    node: NodeId


class Collection(msgspec.Struct, frozen=True, tag="collection"):
    """A list of arguments: fan-in waits for every one of them."""

    items: tuple[Argument, ...]


class Arriving(msgspec.Struct, frozen=True, tag="arriving"):
    """A list whose consumer runs again each time another item arrives, with all that have arrived."""

    items: tuple[Reference, ...]


Argument = Literal | Reference | Collection | Arriving


class ResourceRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one rank of a step needs. ``memory`` is bytes; None reserves nothing and limits nothing."""

    cpu: float = 1.0
    memory: int | None = None
    gpu: int = 0


class RetryRule(msgspec.Struct, frozen=True, omit_defaults=True):
    """Up to ``limit`` more attempts, the n-th after backoff · factor^(n-1) seconds, at most ``maximum``."""

    limit: int = 0
    backoff_seconds: float = 1.0
    factor: float = 2.0
    maximum_seconds: float = 60.0


class MemoizeRule(msgspec.Struct, frozen=True, omit_defaults=True):
    """Reuse a result of equal code, inputs and ``version`` that is not older than ``max_age_seconds``."""

    max_age_seconds: float | None = None
    version: str = ""


class GangRule(msgspec.Struct, frozen=True, omit_defaults=True):
    workers: int = 1
    min_workers: int | None = None


class CodeIdentity(msgspec.Struct, frozen=True):
    """What a step's code is: one digest, and the digest of each part (function, helper, constant)."""

    digest: str
    parts: dict[str, str]


class StepNode(msgspec.Struct, frozen=True, tag="step", omit_defaults=True):
    """A step's place in a graph.

    ``id`` is unique in the graph and safe in URLs and file names. ``map_over`` names the argument whose
    list the node is run over, one instance ``id[i]`` for each item. ``output`` is the declared type:
    ``json``, ``numpy``, ``tree``, ``bytes``, ``dataset``, ``model``, ``pickle``, or ``list[...]`` of one.
    ``preload`` names heavy libraries the code imports, for the warm pool. ``parameters`` holds the type of
    each parameter the function takes, as :mod:`argosy.flow.types` writes it, and ``returns`` that of its
    result, finer than ``output``; None and an empty text say nothing and are not checked. ``line`` is where
    the step was called, in ``file``, or in the graph's own file when that is empty.
    """

    id: NodeId
    step: str
    module: str
    function: str
    arguments: dict[str, Argument]
    output: str
    code: CodeIdentity
    label: str = ""
    resources: ResourceRequest = ResourceRequest()
    gang: GangRule = GangRule()
    retry: RetryRule = RetryRule()
    memoize: MemoizeRule | None = None
    timeout_seconds: float | None = None
    map_over: str | None = None
    preload: tuple[str, ...] = ()
    line: int = 0
    priority: int = 0
    file: str = ""
    parameters: dict[str, str] | None = None
    returns: str = ""


class ServiceNode(msgspec.Struct, frozen=True, tag="service", omit_defaults=True):
    """Models made a named, long-lived service. ``models`` is a list argument; the output is an endpoint."""

    id: NodeId
    service: str
    models: Argument
    replicas: tuple[int, int] = (1, 1)
    aggregate: str = "mean"
    label: str = ""
    line: int = 0
    timeout_seconds: float | None = None
    file: str = ""
    options: ServiceOptions = ServiceOptions()


Node = StepNode | ServiceNode


class SourceReference(msgspec.Struct, frozen=True):
    """The user's code at tracing time: ``digest`` names the snapshot, ``module`` the traced file's module."""

    digest: str
    module: str
    file: str


class Graph(msgspec.Struct, frozen=True):
    """One traced workflow. ``nodes`` are in topological order; ``output`` is what the run yields."""

    workflow: str
    source: SourceReference
    parameters: dict[str, Any]
    nodes: tuple[Node, ...]
    output: Argument
    version: int = GRAPH_VERSION


def upstream(argument: Argument) -> tuple[NodeId, ...]:
    """The nodes an argument refers to, in order, each once."""
    match argument:
        case Literal():
            return ()
        case Reference(node):
            return (node,)
        case Collection(items) | Arriving(items):
            return tuple(dict.fromkeys(node for item in items for node in upstream(item)))


def node_arguments(node: Node) -> dict[str, Argument]:
    return node.arguments if isinstance(node, StepNode) else {"models": node.models}


def graph_to_json(graph: Graph) -> bytes:
    """Canonical JSON: equal graphs give equal bytes."""
    return msgspec.json.encode(graph, order="sorted")


def graph_from_json(data: bytes | str) -> Graph:
    """Inverse of :func:`graph_to_json`. Raises InvalidRequest with the path of the fault.

    What is decoded has the right shape; whether it makes sense is for :mod:`argosy.flow.validation`.
    """
    try:
        return msgspec.json.decode(data, type=Graph)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(
            f"the graph can not be read: {error}",
            hint="send what `argosy graph FILE --format json` prints",
        ) from None
    except RecursionError:
        raise InvalidRequest(
            "the graph can not be read: its values are nested too deeply",
            hint="make deeply nested data in a step",
        ) from None
