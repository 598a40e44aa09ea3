"""The router of an ensemble: every member sees the request as it came, one answer is made of theirs."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import orjson

from argosy.errors import NotFound
from argosy.serve.http import server
from argosy.serve.http.client import Client, RequestFailed, Response
from argosy.serve.http.failures import MemberFailed
from argosy.serve.http.server import JSON, Answer, Headers, Request
from argosy.serve.router.aggregate import MERGES, aggregate
from argosy.serve.specs import RouterSpec

BODY_BYTES = 32 * 2**20


class Router:
    """Answers predict, status and metadata for the ensemble. It knows nothing of what a request holds."""

    def __init__(self, spec: RouterSpec) -> None:
        self._spec = spec
        self._merge = MERGES[spec.aggregate]
        self._client = Client(spec.socket, spec.authority)
        self._predict = f"/v1/models/{spec.service}:predict"
        self._status = f"/v1/models/{spec.service}"
        self._metadata = f"{self._status}/metadata"

    async def answer(self, request: Request) -> Answer:
        if request.path == self._predict:
            if request.method != "POST":
                return server.method_not_allowed(request, "POST")
            return await self._ensemble(await request.body(BODY_BYTES))
        if request.path in (self._status, self._metadata):
            if request.method != "GET":
                return server.method_not_allowed(request, "GET")
            is_status = request.path == self._status
            return await (self._describe_status() if is_status else self._describe_metadata())
        name = request.path.removeprefix("/v1/models/").partition(":")[0].partition("/")[0]
        if request.path.startswith("/v1/models/") and name != self._spec.service:
            raise NotFound(f"model {name!r} does not exist", hint=f"models here: {self._spec.service}")
        raise server.not_found(request)

    async def close(self) -> None:
        self._client.close()

    async def _ensemble(self, body: bytes) -> Answer:
        responses = await self._ask_all("POST", ":predict", body)
        for response in responses.values():
            if 400 <= response.status < 500:
                # The caller's mistake is every member's: it is told once, in the words of the first.
                return Answer(response.status, response.body, _passed_on(response))
        for member, response in responses.items():
            _require_success(member, response)
        return Answer(200, aggregate(self._merge, {name: one.body for name, one in responses.items()}))

    async def _describe_status(self) -> Answer:
        responses = await self._ask_all("GET", "")
        ready = {name: one.status == 200 and _document(name, one)["ready"] for name, one in responses.items()}
        status = {"error_code": "OK", "error_message": ""}
        state = "AVAILABLE" if all(ready.values()) else "LOADING"
        version = {"version": str(self._spec.version), "state": state, "status": status}
        body = {
            "name": self._spec.service,
            "ready": all(ready.values()),
            "members": [{"name": name, "ready": one} for name, one in ready.items()],
            "model_version_status": [version],
        }
        return Answer(200, orjson.dumps(body))

    async def _describe_metadata(self) -> Answer:
        responses = await self._ask_all("GET", "/metadata")
        for name, response in responses.items():
            _require_success(name, response)
        first = _document(*next(iter(responses.items())))
        version = str(self._spec.version)
        specification = {"name": self._spec.service, "signature_name": "", "version": version}
        own = {"name": self._spec.service, "versions": [version], "model_spec": specification}
        ensemble = {"aggregate": self._spec.aggregate, "members": list(self._spec.members)}
        return Answer(200, orjson.dumps({**first, **own, **ensemble}))

    async def _ask_all(self, method: str, suffix: str, body: bytes = b"") -> dict[str, Response]:
        asked = [self._ask(member, method, suffix, body) for member in self._spec.members]
        return dict(zip(self._spec.members, await asyncio.gather(*asked), strict=True))

    async def _ask(self, member: str, method: str, suffix: str, body: bytes) -> Response:
        path = f"/v1/models/{member}{suffix}"
        try:
            return await self._client.request(
                method,
                path,
                body,
                timeout_seconds=self._spec.ensemble.member_seconds,
                headers=JSON if body else (),
            )
        except RequestFailed as error:
            raise MemberFailed(member, str(error), unavailable=True) from None


def _require_success(member: str, response: Response) -> None:
    if response.status == 200:
        return
    try:
        reason = orjson.loads(response.body)["error"]
    except (ValueError, KeyError, TypeError):
        reason = response.body[:200].decode(errors="replace")
    unavailable = response.status in (503, 504)
    raise MemberFailed(member, f"status {response.status}: {reason}", unavailable=unavailable)


def _document(member: str, response: Response) -> dict[str, Any]:
    try:
        document: dict[str, Any] = orjson.loads(response.body)
    except ValueError as error:
        raise MemberFailed(member, f"its answer is not JSON ({error})") from None
    return document


def _passed_on(response: Response) -> Headers:
    retry = response.headers.get(b"retry-after")
    return JSON if retry is None else (*JSON, (b"retry-after", retry))


def main(payload: dict[str, Any]) -> None:
    """Entry of the process; returns once drained."""
    spec = msgspec.convert(payload, RouterSpec)
    server.serve(lambda: Router(spec))
