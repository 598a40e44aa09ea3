"""The model server: one process, one model, KServe V1."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import orjson

from argosy.errors import ArgosyError, NotFound
from argosy.serve.http import server
from argosy.serve.http.failures import ModelFailed
from argosy.serve.http.server import Answer, Request
from argosy.serve.model_server.batcher import Batcher
from argosy.serve.model_server.batching import BatchLimits
from argosy.serve.model_server.instances import Images, InputLimits, decode_instances, parse_body
from argosy.serve.model_server.model import ServedModel
from argosy.serve.specs import ReplicaSpec

# The loop and the inference thread hand over often: Python's default of 5 ms would be most of an answer.
SWITCH_INTERVAL_SECONDS = 0.0005


class Replica:
    """Answers predict, status and metadata for one model."""

    def __init__(self, model: ServedModel, spec: ReplicaSpec, limits: InputLimits | None = None) -> None:
        self._model = model
        self._spec = spec
        self._limits = limits or InputLimits()
        self._batch_rows = spec.batching.max_batch_size
        self._predict = frozenset(f"/v1/models/{name}:predict" for name in spec.names)
        batch = BatchLimits(
            batch_rows=spec.batching.max_batch_size, queue_requests=spec.batching.queue_requests
        )
        self._batcher: Batcher[list[Any], bytes] = Batcher(self._run, batch)

    async def answer(self, request: Request) -> Answer:
        if request.path in self._predict:
            if request.method != "POST":
                return server.method_not_allowed(request, "POST")
            body = await request.body(self._limits.body_bytes)
            instances = parse_body(body)
            return Answer(200, await self._batcher.submit(instances, len(instances), len(body)))
        return self._describe(request)

    async def close(self) -> None:
        self._batcher.close()

    def _describe(self, request: Request) -> Answer:
        if request.path == "/v1/models":
            return Answer(200, orjson.dumps({"models": list(self._spec.names)}))
        if not request.path.startswith("/v1/models/"):
            raise server.not_found(request)
        name, _, rest = request.path.removeprefix("/v1/models/").partition("/")
        name, colon, verb = name.partition(":")
        if name not in self._spec.names:
            known = ", ".join(self._spec.names)
            raise NotFound(f"model {name!r} does not exist", hint=f"models here: {known}")
        if colon or rest not in ("", "metadata"):
            what = f":{verb}" if colon else f"/{rest}"
            raise NotFound(f"model {name!r} has no {what!r}", hint="use :predict, /metadata or nothing")
        if request.method != "GET":
            return server.method_not_allowed(request, "GET")
        return Answer(200, orjson.dumps(self._metadata(name) if rest else self._status(name)))

    def _status(self, name: str) -> dict[str, Any]:
        status = {"error_code": "OK", "error_message": ""}
        version = {"version": str(self._spec.version), "state": "AVAILABLE", "status": status}
        return {"name": name, "ready": True, "model_version_status": [version]}

    def _metadata(self, name: str) -> dict[str, Any]:
        version = str(self._spec.version)
        specification = {"name": name, "signature_name": "", "version": version}
        return {"name": name, "versions": [version], "model_spec": specification, **self._model.metadata()}

    def _run(self, batch: Sequence[list[Any]]) -> list[bytes | Exception]:
        """In the inference thread: the answer of every request of a batch, one run of the model for all."""
        answers: list[bytes | Exception] = []
        inputs: list[Images] = []
        for instances in batch:
            try:
                inputs.append(decode_instances(instances, self._model.preprocessing, self._limits))
                answers.append(b"")
            except ArgosyError as error:
                answers.append(error)
            except Exception as error:  # The others of the batch have no part in it.
                traceback.print_exc()
                answers.append(error)
        if inputs:
            outputs = iter(self._outputs(inputs))
            answers = [next(outputs) if answer == b"" else answer for answer in answers]
        return answers

    def _outputs(self, inputs: list[Images]) -> list[bytes | Exception]:
        try:
            probabilities = self._infer(inputs[0] if len(inputs) == 1 else np.concatenate(inputs))
        except Exception as error:
            print(f"the model failed: {error}", file=sys.stderr, flush=True)  # noqa: T201
            return [ModelFailed(error)] * len(inputs)
        answers: list[bytes | Exception] = []
        start = 0
        for images in inputs:
            rows = probabilities[start : start + len(images)]
            answers.append(orjson.dumps({"predictions": rows}, option=orjson.OPT_SERIALIZE_NUMPY))
            start += len(images)
        return answers

    def _infer(self, images: Images) -> Images:
        """In pieces, so that one large request does not need memory for all its activations at once."""
        size = self._batch_rows
        if len(images) <= size:
            return self._model.predict(images)
        pieces = [self._model.predict(images[at : at + size]) for at in range(0, len(images), size)]
        return np.concatenate(pieces)


def main(payload: dict[str, Any]) -> None:
    """Entry of the process. Raises ArgosyError when the model can not be served; returns once drained."""
    spec = msgspec.convert(payload, ReplicaSpec)
    model = ServedModel.load(Path(spec.directory))
    model.warm_up()
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    server.serve(lambda: Replica(model, spec))
