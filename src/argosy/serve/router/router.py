"""The router: one answer of many members, and of many parts."""

from __future__ import annotations

from typing import Any

import msgspec

from argosy.serve.http import server
from argosy.serve.http.encodings import encoding_of
from argosy.serve.http.server import Answer, Request, StreamedAnswer
from argosy.serve.router.addresses import Verb, parse
from argosy.serve.router.describing import Describer
from argosy.serve.router.ensemble import Ensemble
from argosy.serve.router.failures import Refused
from argosy.serve.router.members import Members
from argosy.serve.router.metrics import Metrics
from argosy.serve.router.sharded import Sharded
from argosy.serve.specs import RouterSpec


class Router:
    """Answers for the service in KServe V1 and Open Inference V2. Raises InvalidRequest for bad options."""

    def __init__(self, spec: RouterSpec) -> None:
        self._spec = spec
        self._metrics = Metrics(spec)
        self._members = Members(spec, self._metrics.tried)
        self._describer = Describer(spec, self._members)
        self._ensemble = Ensemble(spec, self._members)
        self._sharded = Sharded(spec, self._ensemble) if spec.sharding is not None else None

    async def answer(self, request: Request) -> Answer | StreamedAnswer:
        if request.path == "/metrics" and request.method == "GET":
            return self._metrics.answer()
        address = parse(request.path, self._spec.service, self._spec.version)
        if request.method != address.method:
            return server.method_not_allowed(request, address.method)
        try:
            if address.verb in (Verb.PREDICT, Verb.INFER):
                encoding_of(request, known=())
                return await self._counted(request, address.verb)
            return await self._describer.answer(address.verb)
        except Refused as refused:
            return refused.answer

    async def close(self) -> None:
        self._members.close()

    async def _counted(self, request: Request, verb: Verb) -> Answer | StreamedAnswer:
        with self._metrics.request() as statuses:
            try:
                answer = await self._inferred(request, verb)
            except Refused as refused:
                answer = refused.answer
            statuses.append(answer.status)
            return answer

    async def _inferred(self, request: Request, verb: Verb) -> Answer | StreamedAnswer:
        if self._sharded is not None:
            return await (self._sharded.predict if verb is Verb.PREDICT else self._sharded.infer)(request)
        return await (self._ensemble.answer_v1 if verb is Verb.PREDICT else self._ensemble.answer_v2)(request)


def main(payload: dict[str, Any]) -> None:
    """Entry of the process; returns once drained."""
    spec = msgspec.convert(payload, RouterSpec)
    server.serve(lambda: Router(spec))
