"""The HTTP application by itself: limits, errors, streams, and its own description."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from argosy.api.limits import MAXIMUM_REQUEST_BYTES
from argosy.api.views import RunRequest, RunView, ShutdownRequest, ShutdownView
from argosy.control.http import create_app
from argosy.control.service import ControlService
from argosy.errors import CorruptArtifact, NotFound

RUN = RunView("r-1", "hello", "running", 1.0)


class Service:
    """The few methods that these tests reach; ``watch`` gives one view and then waits to be closed."""

    def __init__(self) -> None:
        self.submitted: list[RunRequest] = []
        self.closed = asyncio.Event()
        self.fail_in_stream = False

    async def submit(self, request: RunRequest) -> RunView:
        self.submitted.append(request)
        return RUN

    async def run(self, run: str) -> RunView:
        match run:
            case "corrupt":
                raise CorruptArtifact("artifact ab12 does not match its digest")
            case "fault":
                raise ZeroDivisionError("secret")
        raise NotFound(f"there is no run {run!r}", hint="'argosy runs' lists them")

    async def runs(self, limit: int) -> list[Any]:
        return []

    async def watch(self, run: str) -> AsyncIterator[RunView]:
        if run != "r-1":
            raise NotFound(f"there is no run {run!r}")
        return self._watch()

    async def _watch(self) -> AsyncIterator[RunView]:
        try:
            yield RUN
            if self.fail_in_stream:
                raise ZeroDivisionError("secret")
            await asyncio.Event().wait()
        finally:
            self.closed.set()

    async def shut_down(self, request: ShutdownRequest) -> ShutdownView:
        return ShutdownView(1, ["digits"], ["r-1"])


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def document(self) -> Any:
        return json.loads(self.body)


Part = Callable[[Answer], Awaitable[bool]]


async def _keep(answer: Answer) -> bool:
    return True


async def ask(
    app: Any,
    method: str,
    target: str,
    *chunks: bytes,
    headers: dict[str, str] | None = None,
    on_part: Part = _keep,
) -> Answer:
    """One request over ASGI. ``on_part`` sees the answer as it grows and hangs up by returning False."""
    path, _, query = target.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
        "client": None,
        "server": None,
    }
    answer, hung_up, waiting = Answer(), asyncio.Event(), list(chunks) or [b""]

    async def receive() -> dict[str, Any]:
        if waiting:
            chunk = waiting.pop(0)
            return {"type": "http.request", "body": chunk, "more_body": bool(waiting)}
        await hung_up.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            answer.body += message.get("body", b"")
            if not await on_part(answer):
                hung_up.set()

    await app(scope, receive, send)
    return answer


def app_of(service: Service, heartbeat_seconds: float = 5.0) -> Any:
    whole: ControlService = service  # type: ignore[assignment]
    return create_app(whole, heartbeat_seconds)


def one(method: str, target: str, *chunks: bytes, headers: dict[str, str] | None = None) -> Answer:
    async def scenario() -> Answer:
        return await ask(app_of(Service()), method, target, *chunks, headers=headers)

    return asyncio.run(scenario())


def test_a_run_is_submitted_with_graph_source_and_user() -> None:
    async def scenario() -> None:
        service = Service()
        body = b'{"graph": {"nodes": []}, "source": {"hello.py": "x"}, "user": "ada"}'
        answer = await ask(app_of(service), "POST", "/v1/runs", body[:9], body[9:])
        assert (answer.status, answer.document["run"]) == (201, "r-1")
        assert service.submitted == [RunRequest({"nodes": []}, {"hello.py": "x"}, "ada")]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "missing required field `graph`"),
        (b"{", "truncated"),
        (b'{"graph": [], "source": {}}', "`$.graph`"),
        (b'{"graph": {}, "source": {"a": 1}}', "`$.source[...]`"),
        (b'{"graph": {}, "source": {"a": "\xff"}}', "utf-8"),
    ],
)
def test_a_wrong_body_is_refused_with_the_place_of_the_fault(body: bytes, words: str) -> None:
    answer = one("POST", "/v1/runs", body)
    assert (answer.status, answer.document["code"]) == (400, "invalid_request")
    assert words in answer.document["message"]
    assert answer.document["hint"]


def test_a_body_over_the_limit_is_not_read_to_its_end() -> None:
    announced = one("POST", "/v1/runs", b"{", headers={"content-length": str(MAXIMUM_REQUEST_BYTES + 1)})
    chunk = bytes(MAXIMUM_REQUEST_BYTES // 2)
    streamed = one("POST", "/v1/runs", chunk, chunk, chunk, chunk)
    for answer in (announced, streamed):
        assert (answer.status, answer.document["code"]) == (413, "too_large")
        assert "32 MiB" in answer.document["message"]


def test_a_request_of_another_version_starts_no_run() -> None:
    body = b'{"graph": {}, "source": {}}'
    answer = one("POST", "/v1/runs", body, headers={"Argosy-Version": "9.9.9"})
    assert (answer.status, answer.document["code"]) == (409, "conflict")
    assert answer.document["context"]["caller"] == "9.9.9"


@pytest.mark.parametrize(
    ("method", "target", "status", "code"),
    [
        ("GET", "/v1/runs/none", 404, "not_found"),
        ("GET", "/v1/runs/none/watch", 404, "not_found"),
        ("GET", "/v1/runs/corrupt", 500, "corrupt_artifact"),
        ("GET", "/v1/runs?limit=0", 400, "invalid_request"),
        ("GET", "/v1/runs?limit=many", 400, "invalid_request"),
        ("GET", "/nothing/here", 404, "not_found"),
        ("DELETE", "/v1/runs", 405, "invalid_request"),
        ("GET", "/docs", 404, "not_found"),
    ],
)
def test_every_error_has_the_same_form(method: str, target: str, status: int, code: str) -> None:
    answer = one(method, target)
    assert answer.status == status
    assert answer.document.keys() == {"code", "message", "hint", "context"}
    assert answer.document["code"] == code


@pytest.mark.parametrize(
    ("target", "methods"), [("/v1/runs", {"GET", "POST"}), ("/v1/runs/r-1/cancel", {"POST"})]
)
def test_a_method_that_is_not_allowed_is_answered_with_all_that_are(target: str, methods: set[str]) -> None:
    answer = one("PATCH", target)
    assert answer.status == 405
    assert set(answer.headers["allow"].split(", ")) == methods


def test_a_fault_of_argosy_tells_the_caller_nothing_of_its_inside() -> None:
    async def scenario() -> None:
        answer = Answer()

        async def keep(growing: Answer) -> bool:
            answer.status, answer.body = growing.status, growing.body
            return True

        with pytest.raises(ZeroDivisionError):
            await ask(app_of(Service()), "GET", "/v1/runs/fault", on_part=keep)
        assert (answer.status, answer.document["code"]) == (500, "error")
        assert b"secret" not in answer.body

    asyncio.run(scenario())


def test_a_stream_that_is_silent_sends_empty_lines() -> None:
    async def scenario() -> None:
        async def three_lines(answer: Answer) -> bool:
            return answer.body.count(b"\n") < 3

        service = Service()
        answer = await ask(app_of(service, 0.01), "GET", "/v1/runs/r-1/watch", on_part=three_lines)
        assert answer.headers["content-type"].startswith("application/x-ndjson")
        first, *rest = answer.body.split(b"\n")
        assert json.loads(first)["run"] == "r-1"
        assert set(rest) == {b""}

    asyncio.run(scenario())


def test_who_hangs_up_closes_the_watch() -> None:
    async def scenario() -> None:
        async def one_line(answer: Answer) -> bool:
            return b"\n" not in answer.body

        service = Service()
        await ask(app_of(service), "GET", "/v1/runs/r-1/watch", on_part=one_line)
        await asyncio.wait_for(service.closed.wait(), 5)

    asyncio.run(scenario())


def test_a_shutdown_ends_every_stream_with_its_reason() -> None:
    async def scenario() -> None:
        service = Service()
        app = app_of(service)
        begun = asyncio.Event()

        async def first_line(answer: Answer) -> bool:
            begun.set()
            return True

        watching = asyncio.create_task(ask(app, "GET", "/v1/runs/r-1/watch", on_part=first_line))
        await asyncio.wait_for(begun.wait(), 5)
        stopped = await ask(app, "POST", "/v1/shutdown")
        assert stopped.document == {"pid": 1, "services": ["digits"], "runs": ["r-1"]}
        ended = await asyncio.wait_for(watching, 5)
        assert json.loads(ended.body.splitlines()[-1])["error"]["code"] == "stopping"
        assert service.closed.is_set()
        late = await asyncio.wait_for(ask(app, "GET", "/v1/runs/r-1/watch"), 5)
        assert json.loads(late.body.splitlines()[-1])["error"]["code"] == "stopping"

    asyncio.run(scenario())


def test_a_fault_in_a_stream_is_its_last_line() -> None:
    async def scenario() -> None:
        service = Service()
        service.fail_in_stream = True
        answer = await asyncio.wait_for(ask(app_of(service), "GET", "/v1/runs/r-1/watch"), 5)
        last = json.loads(answer.body.splitlines()[-1])
        assert last["error"]["code"] == "error"
        assert b"secret" not in answer.body

    asyncio.run(scenario())


def test_the_description_covers_every_route_and_resolves() -> None:
    document = one("GET", "/openapi.json").document
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len(operations) == 20
    for operation in operations:
        assert {"4XX", "5XX"} < operation["responses"].keys()
        assert all(answer["content"] for answer in operation["responses"].values())
    schemas = document["components"]["schemas"]
    assert {"RunRequest", "RunView", "NodeView", "ServiceView", "StatusView", "ErrorView"} <= schemas.keys()
    assert {reference.rpartition("/")[2] for reference in _references(document)} <= schemas.keys()
    submit = document["paths"]["/v1/runs"]["post"]
    assert submit["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/RunRequest")


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)
