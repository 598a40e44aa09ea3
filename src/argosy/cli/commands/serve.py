"""``argosy serve``."""

from __future__ import annotations

import json
import math
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
    """A request to paste into a shell."""
    metadata = {} if service.state == "idle" or needs_token else _metadata(service.url)
    token = ' -H "Authorization: Bearer $TOKEN"' if needs_token else ""
    return f"curl{token} {service.url} {request_data(metadata)}"


def request_data(metadata: Mapping[str, Any]) -> str:
    """Numbers where the model takes few, an image file where it takes images or says nothing, else a file
    to be written."""
    inputs = metadata.get("inputs", [])
    if instance := _instance(inputs):
        return f"-d '{{\"instances\": [{instance}]}}'"
    takes_texts = any(one["datatype"] == "BYTES" for one in inputs)
    if inputs and not takes_texts and "images" not in metadata.get("properties", {"images": ""}):
        return "-d @REQUEST.json"
    image = '{\\"instances\\": [{\\"b64\\": \\"$(base64 -w0 IMAGE.png)\\"}]}'
    return f'-d "{image}"'


def _instance(inputs: Sequence[Mapping[str, Any]]) -> str:
    """An instance of zeros; empty where sizes are not known, or zeros are too many or no input."""
    shapes = {one["name"]: one["shape"][1:] for one in inputs}
    if any(length < 1 for shape in shapes.values() for length in shape):
        return ""
    if sum(math.prod(shape) for shape in shapes.values()) > _SMALL:
        return ""
    if any(one["datatype"] == "BYTES" for one in inputs):
        return ""
    values = {name: _zeros(shape) for name, shape in shapes.items()}
    if not values:
        return ""
    return json.dumps(next(iter(values.values())) if len(values) == 1 else values)


def _zeros(shape: Sequence[int]) -> Any:
    return [_zeros(shape[1:]) for _ in range(shape[0])] if shape else 0


def _metadata(url: str) -> Mapping[str, Any]:
    """What the service says of its models; empty where it does not."""
    client = PredictionClient(url, timeout_seconds=5.0)
    try:
        return client.metadata()
    except ServiceFailed:
        return {}
    finally:
        client.close()
