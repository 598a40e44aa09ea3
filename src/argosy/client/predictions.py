"""Asking a service over the KServe V1 protocol, at its address on the gateway."""

from __future__ import annotations

import base64
import http.client
import re
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from argosy import errors

Named = Callable[[int], str]
_INSTANCE = re.compile(r"\binstances\[(\d+)\]")


class ServiceFailed(errors.ArgosyError):
    """The service could not answer a request that may well be right."""

    code = "service_failed"


class PredictionClient:
    """One connection to the predict address ``http://HOST:PORT/v1/models/NAME:predict``.

    ``token`` says who asks. Raises InvalidInput for what the service refuses (4xx), ServiceFailed for
    everything else.
    """

    def __init__(self, url: str, timeout_seconds: float = 60.0, token: str = "") -> None:
        parts = urlsplit(url)
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._url = url
        self._path = parts.path
        self._connection = http.client.HTTPConnection(
            parts.hostname or "", parts.port or 80, timeout=timeout_seconds
        )

    def close(self) -> None:
        self._connection.close()

    def predict(self, images: Sequence[bytes], named: Named) -> list[Any]:
        """One prediction an encoded image. ``named(i)`` is what the i-th is called in messages."""
        instances = [{"b64": base64.b64encode(image).decode()} for image in images]
        status, body = self._ask("POST", self._path, msgspec.json.encode({"instances": instances}))
        if status != 200:
            raise _refused(status, body, self._url, named)
        predictions = _member(body, "predictions")
        if not isinstance(predictions, list) or len(predictions) != len(images):
            raise ServiceFailed(
                f"{self._url} did not answer with {len(images)} predictions",
                hint="it may not speak the KServe V1 protocol",
            )
        return predictions

    def labels(self) -> list[str]:
        """What the places of a prediction stand for; empty if the service does not say."""
        labels = self.metadata().get("labels")
        return [str(label) for label in labels] if isinstance(labels, list) else []

    def metadata(self) -> dict[str, Any]:
        """What the service says of its inputs and outputs; empty if it does not say."""
        status, body = self._ask("GET", f"{self._path.removesuffix(':predict')}/metadata", None)
        try:
            document = msgspec.json.decode(body) if status == 200 else None
        except msgspec.MsgspecError:
            document = None
        return document if isinstance(document, dict) else {}

    def _ask(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        headers = self._headers if body is None else {"Content-Type": "application/json", **self._headers}
        try:
            self._connection.request(method, path, body, headers)
            response = self._connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise ServiceFailed(
                f"{self._url} does not answer: {error or type(error).__name__}",
                hint="'argosy services' says in what state the services are",
            ) from error


def _member(body: bytes, name: str) -> Any:
    try:
        document = msgspec.json.decode(body)
    except msgspec.MsgspecError:
        return None
    return document.get(name) if isinstance(document, dict) else None


def _refused(status: int, body: bytes, url: str, named: Named) -> errors.ArgosyError:
    said = _member(body, "error") or body[:200].decode(errors="replace").strip() or "no reason given"
    hint = str(_member(body, "hint") or "")
    message = _INSTANCE.sub(lambda match: named(int(match[1])), str(said))
    context = {"status": status, "url": url}
    if 400 <= status < 500:
        kind = {404: errors.NotFound, 413: errors.TooLarge}.get(status, errors.InvalidInput)
        return kind(message, hint=hint, context=context)
    return ServiceFailed(
        f"{url} answered {status}: {message}",
        hint=hint or "'argosy services' says in what state the services are",
        context=context,
    )
