"""The typed client of the control plane's API."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from argosy import errors
from argosy.api.codec import decode_response, encode
from argosy.api.limits import MAXIMUM_REQUEST_BYTES
from argosy.api.serving import (
    AuditView,
    ChangeView,
    PromoteRequest,
    RollbackRequest,
    ScaleRequest,
    ServeProgress,
    ServeRequest,
    TokenCreated,
    TokenRequest,
    TokenView,
    TrafficRequest,
)
from argosy.api.views import (
    LogLine,
    RunRequest,
    RunSummary,
    RunView,
    ServiceView,
    ShutdownRequest,
    ShutdownView,
    StatusView,
)
from argosy.client.transport import ConnectionLost, Transport
from argosy.home import Home

T = TypeVar("T")
RUNNING = "running"
# A revision may have to start, and to be compared, before requests come to it.
PATIENCE_SECONDS = 700.0


class ControlClient:
    """Speaks to the control plane of one home.

    Every method raises NotRunning when none listens, ConnectionLost when it goes away in between, and
    otherwise the ArgosyError that the control plane answered with.
    """

    def __init__(self, home: Home, timeout_seconds: float = 30.0) -> None:
        self.home = home
        self._transport = Transport(home, timeout_seconds)

    def submit(self, request: RunRequest) -> RunView:
        body = _checked(encode(request), "the graph and its source are")
        return self._decode("POST", "/v1/runs", RunView, body)

    def run(self, run: str) -> RunView:
        return self._decode("GET", f"/v1/runs/{_segment(run)}", RunView)

    def runs(self, limit: int = 100) -> list[RunSummary]:
        answer = self._transport.request("GET", f"/v1/runs?limit={limit}")
        runs: list[RunSummary] = decode_response(answer, list[RunSummary])
        return runs

    def cancel(self, run: str) -> RunView:
        return self._decode("POST", f"/v1/runs/{_segment(run)}/cancel", RunView)

    def watch(self, run: str) -> Iterator[RunView]:
        """The run at each change, ending with it. Raises ConnectionLost if the stream ends before that."""
        state = RUNNING
        for line in self._transport.lines(f"/v1/runs/{_segment(run)}/watch"):
            view: RunView = decode_response(line, RunView)
            state = view.state
            yield view
        if state == RUNNING:
            raise ConnectionLost("the control plane went away", hint="'argosy up' starts it again")

    def logs(self, run: str, node: str | None = None, follow: bool = False) -> Iterator[LogLine]:
        query = {"node": node} if node else {}
        if follow:
            query["follow"] = "true"
        path = f"/v1/runs/{_segment(run)}/logs" + (f"?{urlencode(query)}" if query else "")
        for line in self._transport.lines(path):
            yield decode_response(line, LogLine)

    def services(self) -> list[ServiceView]:
        services: list[ServiceView] = decode_response(
            self._transport.request("GET", "/v1/services"), list[ServiceView]
        )
        return services

    def delete_service(self, service: str) -> ServiceView:
        return self._decode("DELETE", f"/v1/services/{_segment(service)}", ServiceView)

    def service(self, service: str) -> ServiceView:
        return self._decode("GET", f"/v1/services/{_segment(service)}", ServiceView)

    def serve(self, request: ServeRequest) -> Iterator[ServeProgress]:
        """Make a service; how far it is, until it answers. Hanging up before the last model is stored ends it
        without a trace; afterwards it goes on."""
        body = _checked(encode(request), "the code of the service's functions is")
        for line in self._transport.lines("/v1/services", "POST", body):
            yield decode_response(line, ServeProgress)

    def scale(self, service: str, request: ScaleRequest) -> ChangeView:
        return self._change(service, "scale", request)

    def set_traffic(self, service: str, request: TrafficRequest) -> ChangeView:
        return self._change(service, "traffic", request)

    def promote(self, service: str, request: PromoteRequest) -> ChangeView:
        return self._change(service, "promote", request)

    def roll_back(self, service: str, request: RollbackRequest) -> ChangeView:
        return self._change(service, "rollback", request)

    def create_token(self, request: TokenRequest) -> TokenCreated:
        return self._decode("POST", "/v1/tokens", TokenCreated, encode(request))

    def revoke_token(self, token: str) -> TokenView:
        return self._decode("POST", f"/v1/tokens/{_segment(token)}/revoke", TokenView)

    def tokens(self) -> list[TokenView]:
        tokens: list[TokenView] = decode_response(
            self._transport.request("GET", "/v1/tokens"), list[TokenView]
        )
        return tokens

    def audit(
        self, since: float = 0.0, user: str | None = None, service: str | None = None
    ) -> list[AuditView]:
        """Of one user or one service where it is given; the empty user is everybody without a token."""
        asked = {"since": since, "user": user, "service": service}
        query = urlencode({name: value for name, value in asked.items() if value is not None})
        answer = self._transport.request("GET", f"/v1/audit?{query}")
        rows: list[AuditView] = decode_response(answer, list[AuditView])
        return rows

    def _change(self, service: str, what: str, request: Any) -> ChangeView:
        path = f"/v1/services/{_segment(service)}/{what}"
        patient = ControlClient(self.home, PATIENCE_SECONDS)
        return patient._decode("POST", path, ChangeView, encode(request))

    def status(self) -> StatusView:
        return self._decode("GET", "/v1/status", StatusView)

    def shut_down(self, keep_services: bool = False) -> ShutdownView:
        """Ask for a clean stop; the process may still be there when the answer comes."""
        return self._decode("POST", "/v1/shutdown", ShutdownView, encode(ShutdownRequest(keep_services)))

    def _decode(self, method: str, path: str, kind: type[T], body: bytes | None = None) -> T:
        view: T = decode_response(self._transport.request(method, path, body), kind)
        return view


def _checked(body: bytes, what: str) -> bytes:
    if len(body) > MAXIMUM_REQUEST_BYTES:
        raise errors.TooLarge(
            f"{what} {len(body) / 2**20:.0f} MiB, and a request holds {MAXIMUM_REQUEST_BYTES // 2**20}",
            hint="pass large data to a step as a file or a dataset, not as a parameter",
        )
    return body


def _segment(name: str) -> str:
    return quote(name, safe="")


class SeenLines:
    """Drops the lines of a log stream that an earlier, broken one already gave: every stream begins each
    (attempt, rank) at its first line."""

    def __init__(self) -> None:
        self._given: Counter[tuple[str, int]] = Counter()
        self._again: Counter[tuple[str, int]] = Counter()

    def start_again(self) -> None:
        self._again = Counter()

    def is_new(self, line: LogLine) -> bool:
        key = (line.attempt, line.rank)
        self._again[key] += 1
        if self._again[key] <= self._given[key]:
            return False
        self._given[key] += 1
        return True
