"""The requests and responses of the control plane's HTTP API that concern services, tokens and the audit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from argosy.api.views import ServiceView
from argosy.flow.service_options import ServiceOptions


@dataclass(frozen=True, slots=True)
class ServeRequest:
    """Make ``models`` the service ``name``.

    A model is an absolute path (model directory, folder of numbered versions, SavedModel, ``.keras``,
    ``.onnx``) or ``artifact:`` and the beginning of a model artifact's digest. ``sources`` holds the code of
    user's functions by snapshot digest, relative path → text. ``labels`` are the names of the classes, in
    order, where the model does not say them; ``preprocessing``, as in ``preprocessing.json``, says how an
    image becomes its input. ``watch`` deploys newer versions in a folder of versions as they come; None
    watches wherever there is such a folder. With ``detach`` the answer ends once the models are stored and
    their deployment has begun.
    """

    name: str
    models: list[str]
    replicas: tuple[int, int] = (1, 1)
    aggregate: str = "mean"
    options: ServiceOptions = field(default_factory=ServiceOptions)
    sources: dict[str, dict[str, str]] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)
    preprocessing: dict[str, Any] = field(default_factory=dict)
    watch: bool | None = None
    detach: bool = False
    user: str = ""


@dataclass(frozen=True, slots=True)
class ServeProgress:
    """One line of the answer to a ServeRequest.

    ``stage``: importing · starting · ready · unchanged. ``message`` says it in a sentence. The last line has
    the service as it is then.
    """

    stage: str
    message: str
    service: ServiceView | None = None


@dataclass(frozen=True, slots=True)
class ScaleRequest:
    least: int
    most: int
    user: str = ""


@dataclass(frozen=True, slots=True)
class ShareRequest:
    revision: int
    percent: int


@dataclass(frozen=True, slots=True)
class HeaderRequest:
    """Requests whose ``header`` is ``value`` go to ``revision``."""

    header: str
    value: str
    revision: int


@dataclass(frozen=True, slots=True)
class TrafficRequest:
    """``shares`` add up to 100; they and ``headers`` replace what was set before."""

    shares: list[ShareRequest]
    headers: list[HeaderRequest] = field(default_factory=list)
    user: str = ""


@dataclass(frozen=True, slots=True)
class PromoteRequest:
    """Give all requests to ``revision`` unless it is worse than what serves now by more than ``margin``.

    ``data`` is the digest, or the beginning of one, of a dataset artifact, or the absolute path of a dataset
    folder; empty for the dataset the model was trained on. ``force`` promotes without looking.
    """

    revision: int
    data: str = ""
    force: bool = False
    margin: float = 0.005
    user: str = ""


@dataclass(frozen=True, slots=True)
class RollbackRequest:
    user: str = ""


@dataclass(frozen=True, slots=True)
class ChangeView:
    """What a change did, in a sentence, and the service after it."""

    message: str
    service: ServiceView


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A token for ``user``; the limits it gives are those of ``tier``, or of ``signed-in``."""

    user: str
    group: str = ""
    tier: str = ""
    expires_seconds: float = 30 * 86400.0


@dataclass(frozen=True, slots=True)
class TokenView:
    """``token`` is its id. ``state``: valid · revoked · expired."""

    token: str
    user: str
    group: str
    tier: str
    state: str
    created_at: float
    expires_at: float
    revoked_at: float | None = None


@dataclass(frozen=True, slots=True)
class TokenCreated:
    """``text`` is what a caller sends as ``Authorization: Bearer TEXT``; it can not be shown again."""

    record: TokenView
    text: str


@dataclass(frozen=True, slots=True)
class AuditView:
    """What one caller asked of one service in the hour that begins at ``hour``; without a token ``user`` is
    empty. ``outcome``: answered · invalid · failed · abandoned · refused: LIMIT. ``received`` and ``sent``
    are bytes of bodies, ``seconds`` is the sum of all durations."""

    hour: float
    user: str
    group: str
    tier: str
    service: str
    outcome: str
    requests: int
    received: int
    sent: int
    seconds: float
    first_at: float
    last_at: float
