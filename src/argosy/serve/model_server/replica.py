"""The model server: one process, one model, every protocol."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import orjson

from argosy.errors import ArgosyError, Unavailable
from argosy.serve.http import server
from argosy.serve.http.encodings import decoded, encoding_of
from argosy.serve.http.messages import Answer, failure, method_not_allowed, unexpected
from argosy.serve.http.request import Request
from argosy.serve.http.server import Listening
from argosy.serve.model_server.batcher import Batcher
from argosy.serve.model_server.batching import BatchLimits
from argosy.serve.model_server.describing import describe
from argosy.serve.model_server.grpc_server import GrpcServer
from argosy.serve.model_server.inference import Call, Inference
from argosy.serve.model_server.metrics import CONTENT_TYPE, Metrics
from argosy.serve.model_server.open_inference import parse_infer
from argosy.serve.model_server.openapi import document
from argosy.serve.model_server.predict import PARSED_AT_ONCE_BYTES, Deferred, parse_predict
from argosy.serve.model_server.served import Served
from argosy.serve.model_server.speed import Speed, measure
from argosy.serve.model_server.tracing import trace_of
from argosy.serve.model_server.watchdog import Watchdog
from argosy.serve.models.loading import load
from argosy.serve.models.model import DEFAULT_SIGNATURE, LoadedModel
from argosy.serve.specs import INFERENCE_OVERDUE, ReplicaSpec

# The loop and the inference thread hand over often: Python's default of 5 ms would be most of an answer.
SWITCH_INTERVAL_SECONDS = 0.0005
# A batch that is more to decode is not run in the loop's thread.
INLINE_BYTES = 256 * 1024
GONE = 499

_Parse = Callable[[Request, bytes], Call]


class InferenceOverdue(Unavailable):
    code = "inference_overdue"
    http_status = 504

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"the model did not answer this request within {seconds:g} s; its process is being replaced",
            hint="the request may be what the model can not do; inference_seconds says how long it may take",
        )


class Replica:
    """Answers inference, status, metadata and metrics for one model."""

    def __init__(self, served: Served, spec: ReplicaSpec, speed: Speed) -> None:
        self._served = served
        self._spec = spec
        self._speed = speed
        self._listening: Listening | None = None
        self._grpc: GrpcServer | None = None
        self.metrics = Metrics(spec.names[0], spec.version)
        batching = spec.batching
        limits = BatchLimits(batching.max_batch_size, batching.max_wait_seconds, batching.queue_requests)
        self._overdue = InferenceOverdue(batching.inference_seconds)
        guard = Watchdog(batching.inference_seconds, self._give_up, INFERENCE_OVERDUE)
        self.batcher: Batcher[Call, Any] = Batcher(
            Inference(served.model, batching.max_batch_size, guard).run,
            limits,
            is_quick=self._is_quick,
            coming=self._coming if batching.max_wait_seconds > 0 else lambda: 0,
            observer=self.metrics,
        )
        self._routes = self._inference_routes()

    async def open(self, listening: Listening) -> dict[str, Any]:
        """The second port, of gRPC."""
        self._listening = listening
        if self._spec.batching.max_wait_seconds > 0:
            listening.shell.on_fewer_arriving = self.batcher.look
        self._grpc = GrpcServer(
            self._served,
            self.batcher,
            self.metrics,
            lambda: not listening.shell.draining,
            self._spec.batching,
        )
        return {"grpc_port": await self._grpc.start()}

    def quick_limit(self, request: Request) -> int | None:
        if request.path in self._routes and request.method == "POST":
            return self._served.limits.body_bytes
        return None

    def begin(self, request: Request, body: bytes) -> None:
        try:
            self._submit(request, body)
        except ArgosyError as error:
            answer = failure(error)
            self.metrics.answered(answer.status, time.monotonic() - request.started)
            request.reply(answer)

    async def answer(self, request: Request) -> Answer:
        if request.path == "/metrics":
            if request.method != "GET":
                return method_not_allowed(request, "GET")
            body = self.metrics.exposition(self.batcher.queued)
            return Answer(200, body, ((b"content-type", CONTENT_TYPE),))
        if request.path == "/openapi.json":
            if request.method != "GET":
                return method_not_allowed(request, "GET")
            return Answer(200, orjson.dumps(document(self._served)))
        return describe(self._served, request)

    async def close(self) -> None:
        if self._grpc is not None:
            await self._grpc.stop()
        self.batcher.close()

    def _inference_routes(self) -> dict[str, _Parse]:
        version = f"/versions/{self._spec.version}"
        routes: dict[str, _Parse] = {}
        for name in self._spec.names:
            for prefix in (name, name + version):
                routes[f"/v1/models/{prefix}:predict"] = self._predict
                routes[f"/v2/models/{prefix}/infer"] = self._infer_as(name)
        return routes

    def _predict(self, request: Request, body: bytes) -> Call:
        return parse_predict(self._served, body, request.query)

    def _infer_as(self, name: str) -> _Parse:
        def parse(request: Request, body: bytes) -> Call:
            length = request.header(b"inference-header-content-length")
            return parse_infer(self._served, name, body, length)

        return parse

    def _submit(self, request: Request, body: bytes) -> None:
        size = len(body)
        # Before the body is parsed: an overloaded server must refuse faster than it answers.
        self.batcher.check_room(size)
        call = self._call(request, body, self._routes[request.path])
        call.trace = trace_of(request.header(b"traceparent"), request.header(b"tracestate"))
        call.abandon = request.reply_before_exit
        attempt = request.header(b"x-envoy-attempt-count")
        if attempt is not None and attempt != b"1":
            # It may be what ended another replica: alone, it is found out.
            call.key = None
        number = self.batcher.submit(call, call.rows, size, _Reply(request, self.metrics), call.key)
        request.on_gone = lambda: self._withdraw(request, number)
        self.metrics.in_flight += 1

    def _call(self, request: Request, body: bytes, parse: _Parse) -> Call:
        rows = self._spec.batching.max_batch_size
        encoding = encoding_of(request)
        if encoding:
            # A few bytes may be the largest request there is.
            most = self._served.limits.body_bytes
            return Deferred(lambda: parse(request, decoded(body, encoding, most)), rows, most)
        if len(body) > PARSED_AT_ONCE_BYTES:
            return Deferred(lambda: parse(request, body), rows, len(body))
        return parse(request, body)

    def _withdraw(self, request: Request, number: int) -> None:
        self.batcher.withdraw(number)
        self.metrics.in_flight -= 1
        self.metrics.answered(GONE, time.monotonic() - request.started)

    def _is_quick(self, calls: Sequence[Call]) -> bool:
        if sum([call.weight for call in calls]) > INLINE_BYTES:
            return False
        rows = min(sum([call.rows for call in calls]), self._spec.batching.max_batch_size)
        return self._speed.is_quick(rows) and all(call.signature == DEFAULT_SIGNATURE for call in calls[:1])

    def _coming(self) -> int:
        return self._listening.shell.arriving if self._listening is not None else 0

    def _give_up(self, calls: Sequence[Call]) -> None:
        """In the watchdog's thread, right before the process exits."""
        seconds = self._spec.batching.inference_seconds
        traces = "".join([call.trace for call in calls[:4]])
        text = (
            f"inference of {len(calls)} request(s) took longer than {seconds:g} s{traces}: the process ends\n"
        )
        os.write(2, text.encode())
        if len(calls) == 1 and calls[0].abandon is not None:
            calls[0].abandon(failure(self._overdue))


class _Reply:
    """What is called with the answer of a request."""

    __slots__ = ("_metrics", "_request")

    def __init__(self, request: Request, metrics: Metrics) -> None:
        self._request = request
        self._metrics = metrics

    def __call__(self, result: Any) -> None:
        if isinstance(result, Answer):
            answer = result
        else:
            answer = failure(result) if isinstance(result, ArgosyError) else unexpected()
        request = self._request
        request.on_gone = None
        self._metrics.in_flight -= 1
        self._metrics.answered(answer.status, time.monotonic() - request.started)
        request.reply(answer)


def main(payload: dict[str, Any]) -> None:
    """Entry of the process. Raises ArgosyError when the model can not be served; returns once drained."""
    spec = msgspec.convert(payload, ReplicaSpec)
    serve_model(lambda: load(Path(spec.directory)), spec)


def serve_model(load_model: Callable[[], LoadedModel], spec: ReplicaSpec) -> None:
    """Load, warm up, serve until SIGTERM, drain."""
    # First of all: threads inherit it, also those of the library that runs the model.
    model = load_model()
    model.warm_up()
    speed = measure(model, spec.batching.max_batch_size)
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    served = Served(model, spec.names, spec.version)
    server.serve(lambda: Replica(served, spec, speed))
