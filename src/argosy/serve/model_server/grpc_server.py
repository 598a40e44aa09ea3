"""The Open Inference Protocol over gRPC, in the loop of the HTTP server and over the same batches.

Imported only by model servers, and before they are forked: gRPC starts no thread before its first server.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc

from argosy.errors import ArgosyError, InvalidInput, NotFound
from argosy.flow.service_options import Batching
from argosy.serve.about import server_metadata
from argosy.serve.http.failures import error_status, shortened
from argosy.serve.model_server.batcher import Batcher
from argosy.serve.model_server.describing import check_version, metadata_v2
from argosy.serve.model_server.grpc_messages import CONTENTS, SERVICE, message_types
from argosy.serve.model_server.infer_call import (
    GivenTensor,
    InferCall,
    InferRequest,
    InferResponse,
    WantedOutput,
)
from argosy.serve.model_server.inference import Call
from argosy.serve.model_server.metrics import Metrics
from argosy.serve.model_server.predict import PARSED_AT_ONCE_BYTES, Deferred
from argosy.serve.model_server.served import Served
from argosy.serve.model_server.tensors import Tensor, datatype_of, to_bytes
from argosy.serve.model_server.tracing import trace_of
from argosy.serve.models.model import DEFAULT_SIGNATURE

# Made when this is imported, which a warm process does in advance.
_TYPES = message_types()

# Seconds that requests under way may still take once the server is stopped.
STOP_SECONDS = 30.0
# Trailers hold 8 KiB, and a character may take 12 bytes: beyond, callers would see an error of gRPC's own.
DETAIL_CHARACTERS = 600
_CODES = {
    400: "INVALID_ARGUMENT",
    404: "NOT_FOUND",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class GrpcServer:
    """``ready`` says whether new requests are welcome."""

    def __init__(
        self,
        served: Served,
        batcher: Batcher[Any, Any],
        metrics: Metrics,
        ready: Callable[[], bool],
        batching: Batching,
    ) -> None:
        self._served = served
        self._batcher = batcher
        self._metrics = metrics
        self._ready = ready
        self._batch_rows = batching.max_batch_size
        self._most_requests = batching.queue_requests + 2 * batching.max_batch_size
        self._server: Any = None

    async def start(self) -> int:
        """The loopback port."""
        most = self._served.limits.body_bytes
        options = [("grpc.max_receive_message_length", most), ("grpc.max_send_message_length", -1)]
        # Beyond this many gRPC itself refuses, before it has read a request.
        self._server = grpc.aio.server(
            options=[*options, ("grpc.so_reuseport", 0)], maximum_concurrent_rpcs=self._most_requests
        )
        self._server.add_generic_rpc_handlers((self._handlers(),))
        port: int = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        return port

    async def stop(self) -> None:
        """Answers what is under way; new requests are refused."""
        if self._server is not None:
            await self._server.stop(STOP_SECONDS)

    def _handlers(self) -> Any:
        def unary(answer: Any, name: str) -> Any:
            return grpc.unary_unary_rpc_method_handler(
                answer,
                request_deserializer=_TYPES[f"{name}Request"].FromString,
                response_serializer=_serialized,
            )

        stream = grpc.stream_stream_rpc_method_handler(
            self._stream_infer,
            request_deserializer=_TYPES["ModelInferRequest"].FromString,
            response_serializer=_serialized,
        )
        methods = {
            "ServerLive": unary(self._server_live, "ServerLive"),
            "ServerReady": unary(self._server_ready, "ServerReady"),
            "ModelReady": unary(self._model_ready, "ModelReady"),
            "ServerMetadata": unary(self._server_metadata, "ServerMetadata"),
            "ModelMetadata": unary(self._model_metadata, "ModelMetadata"),
            "ModelInfer": unary(self._model_infer, "ModelInfer"),
            "ModelStreamInfer": stream,
        }
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    async def _server_live(self, request: Any, context: Any) -> Any:
        return _TYPES["ServerLiveResponse"](live=True)

    async def _server_ready(self, request: Any, context: Any) -> Any:
        return _TYPES["ServerReadyResponse"](ready=self._ready())

    async def _model_ready(self, request: Any, context: Any) -> Any:
        try:
            self._check_model(request.name, request.version)
        except NotFound:
            return _TYPES["ModelReadyResponse"](ready=False)
        return _TYPES["ModelReadyResponse"](ready=self._ready())

    async def _server_metadata(self, request: Any, context: Any) -> Any:
        return _TYPES["ServerMetadataResponse"](**server_metadata())

    async def _model_metadata(self, request: Any, context: Any) -> Any:
        try:
            self._check_model(request.name, request.version)
        except NotFound as error:
            await _abort(context, error)
        return _TYPES["ModelMetadataResponse"](**metadata_v2(self._served, request.name))

    async def _model_infer(self, request: Any, context: Any) -> Any:
        try:
            return await self._infer(request, context)
        except Exception as error:
            return await _abort(context, error)

    async def _stream_infer(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        """One answer for each request, in order; an error is an answer and the stream goes on."""
        kind = _TYPES["ModelStreamInferResponse"]
        async for request in requests:
            try:
                yield kind(infer_response=await self._infer(request, context))
            except ArgosyError as error:
                failed = _TYPES["ModelInferResponse"](model_name=request.model_name, id=request.id)
                yield kind(error_message=shortened(str(error), DETAIL_CHARACTERS), infer_response=failed)

    async def _infer(self, request: Any, context: Any) -> Any:
        start = time.monotonic()
        self._metrics.in_flight += 1
        status = 499
        try:
            self._check_model(request.model_name, request.model_version)
            size = request.ByteSize()
            self._batcher.check_room(size)
            call = self._call(request, size)
            _mark(call, context)
            answer = await self._batcher.ask(call, call.rows, size, call.key)
            status = 200
            return answer
        except ArgosyError as error:
            status = error_status(error)
            raise
        except Exception:
            status = 500
            raise
        finally:
            self._metrics.in_flight -= 1
            self._metrics.answered(status, time.monotonic() - start)

    def _call(self, request: Any, size: int) -> Call:
        def parse() -> InferCall:
            return InferCall(self._served, read_request(request), size, self._write)

        return parse() if size <= PARSED_AT_ONCE_BYTES else Deferred(parse, self._batch_rows, size)

    def _check_model(self, name: str, version: str) -> None:
        served = self._served
        if name not in served.names:
            raise NotFound(f"model {name!r} does not exist", hint=f"models here: {', '.join(served.names)}")
        if version:
            check_version(served, name, version)

    def _write(self, response: InferResponse) -> Any:
        """Values as they came: raw bytes, or a list by their datatype."""
        request = response.request
        answer = _TYPES["ModelInferResponse"](
            model_name=request.model, model_version=str(response.version), id=request.id
        )
        arrays = [array for _, array, _ in response.outputs]
        is_raw = request.binary or any(datatype_of(array) not in CONTENTS for array in arrays)
        for name, array, _ in response.outputs:
            output = answer.outputs.add(name=name, datatype=datatype_of(array), shape=array.shape)
            if is_raw:
                answer.raw_output_contents.append(to_bytes(array))
            else:
                getattr(output.contents, CONTENTS[output.datatype]).extend(_values(array))
        return answer


def read_request(request: Any) -> InferRequest:
    """Raises InvalidInput."""
    is_raw = len(request.raw_input_contents) > 0
    if is_raw and len(request.raw_input_contents) != len(request.inputs):
        count = len(request.raw_input_contents)
        raise InvalidInput(
            f"raw_input_contents holds {count} tensors for {len(request.inputs)} inputs",
            hint="send every input raw, in the order of 'inputs', or none",
        )
    inputs = []
    for position, one in enumerate(request.inputs):
        raw = request.raw_input_contents[position] if is_raw else None
        inputs.append(
            GivenTensor(one.name, one.datatype, tuple(one.shape), _data(one) if raw is None else raw)
        )
    signature = request.parameters.get("signature_name") if "signature_name" in request.parameters else None
    outputs = tuple(_wanted(one) for one in request.outputs)
    name = signature.string_param if signature is not None else DEFAULT_SIGNATURE
    return InferRequest(request.model_name, request.id, tuple(inputs), outputs, is_raw, name)


def _wanted(output: Any) -> WantedOutput:
    classes = output.parameters["classification"].int64_param if "classification" in output.parameters else 0
    return WantedOutput(output.name, classes=max(0, classes))


def _data(tensor: Any) -> list[Any]:
    field = CONTENTS.get(tensor.datatype)
    if field is None:
        raise InvalidInput(
            f"input {tensor.name!r} has the datatype {tensor.datatype!r}, which has no typed contents",
            hint="send it in raw_input_contents",
        )
    filled = [one.name for one, _ in tensor.contents.ListFields()]
    if any(name != field for name in filled):
        raise InvalidInput(
            f"input {tensor.name!r} has its values in {filled[0]}, expected {field} for {tensor.datatype}"
        )
    return list(getattr(tensor.contents, field))


def _values(array: Tensor) -> list[Any]:
    values: list[Any] = array.ravel().tolist()
    return [one.encode() if isinstance(one, str) else one for one in values]


def _mark(call: Call, context: Any) -> None:
    """What the headers say: the trace, and whether this was tried elsewhere already."""
    headers = {name: value for name, value in context.invocation_metadata() or () if isinstance(value, str)}
    parent, state = headers.get("traceparent"), headers.get("tracestate")
    call.trace = trace_of(parent.encode() if parent else None, state.encode() if state else None)
    if headers.get("x-envoy-attempt-count", "1") != "1":
        call.key = None


def _serialized(message: Any) -> bytes:
    data: bytes = message.SerializeToString()
    return data


async def _abort(context: Any, error: Exception) -> Any:
    if isinstance(error, ArgosyError):
        code = getattr(grpc.StatusCode, _CODES.get(error_status(error), "INTERNAL"))
        await context.abort(code, shortened(str(error), DETAIL_CHARACTERS))
    traceback.print_exception(error, file=sys.stderr)
    await context.abort(grpc.StatusCode.INTERNAL, "the server failed unexpectedly; see the replica's log")
