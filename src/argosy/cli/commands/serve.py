"""``argosy serve``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from argosy.api.serving import ServeProgress, ServeRequest
from argosy.api.views import ServiceView
from argosy.cli.output import document, say, show
from argosy.cli.service_description import describe
from argosy.client.bootstrap import ensure_control_plane
from argosy.client.predictions import PredictionClient, ServiceFailed
from argosy.errors import ArgosyError
from argosy.home import Home

INTERRUPTED = 130
_SMALL = 64


def serve(models: Sequence[str], options: Mapping[str, Any], *, detach: bool, as_json: bool) -> int:
    """Everything that can be told from the command line alone is checked before anything is started."""
    request = describe(models, options, detach=detach)
    client = ensure_control_plane(Home.from_environment(), started=lambda: say("starting the control plane"))
    last: ServeProgress | None = None
    try:
        for progress in _said_once(client.serve(request)):
            last = progress
            if progress.stage in ("importing", "starting"):
                say(progress.message)
    except KeyboardInterrupt:
        _tell_interrupted(request, last)
        return INTERRUPTED
    if last is None or last.service is None:
        raise ArgosyError("the control plane did not say what became of the service")
    if as_json:
        document({"stage": last.stage, "message": last.message, "service": last.service})
    else:
        _tell(request, last, last.service)
    return 0


def _said_once(lines: Iterator[ServeProgress]) -> Iterator[ServeProgress]:
    before = ""
    for progress in lines:
        if progress.message and (progress.message != before or progress.stage in ("ready", "unchanged")):
            before = progress.message
            yield progress


def _tell_interrupted(request: ServeRequest, last: ServeProgress | None) -> None:
    if last is not None and last.stage == "starting":
        say(f"\nservice {request.name} goes on starting in the background")
        say(
            f"hint: 'argosy service {request.name}' shows how it goes, 'argosy delete {request.name}' ends it"
        )
    else:
        say("\nnothing was deployed")


def _tell(request: ServeRequest, last: ServeProgress, service: ServiceView) -> None:
    if last.stage == "starting":
        show(f"service {service.name} is starting")
        say(f"hint: 'argosy service {service.name}' says when it is ready")
        return
    show(last.message)
    if not service.url:
        return
    show(service.url)
    show(curl_line(service, request.options.access.require_token))


def curl_line(service: ServiceView, needs_token: bool) -> str:
    """A request to paste into a shell: numbers where the model takes few, an image file otherwise."""
    shape = [] if service.state == "idle" or needs_token else _input_shape(service.url)
    size = 1
    for length in shape:
        size *= length
    token = ' -H "Authorization: Bearer $TOKEN"' if needs_token else ""
    if shape and 0 < size <= _SMALL:
        return f"curl{token} {service.url} -d '{{\"instances\": [{_zeros(shape)}]}}'"
    image = '{\\"instances\\": [{\\"b64\\": \\"$(base64 -w0 IMAGE.png)\\"}]}'
    return f'curl{token} {service.url} -d "{image}"'


def _zeros(shape: Sequence[int]) -> str:
    if not shape:
        return "0"
    return f"[{', '.join([_zeros(shape[1:])] * shape[0])}]"


def _input_shape(url: str) -> list[int]:
    """The shape of one instance of a model with one input; empty where that is not known."""
    client = PredictionClient(url, timeout_seconds=5.0)
    try:
        inputs = client.metadata().get("inputs")
    except ServiceFailed:
        return []
    finally:
        client.close()
    match inputs:
        case [{"shape": [_, *shape], "datatype": datatype}] if datatype != "BYTES":
            return shape if all(isinstance(length, int) and length > 0 for length in shape) else []
    return []
