"""What a router counts, as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from argosy.errors import ArgosyError
from argosy.serve.http.client import Response
from argosy.serve.http.failures import error_status
from argosy.serve.http.server import Answer
from argosy.serve.router.quorum import Outcome
from argosy.serve.specs import RouterSpec

TEXT = ((b"content-type", b"text/plain; version=0.0.4; charset=utf-8"),)


class Metrics:
    """Requests are predictions, by any protocol; sub-requests are all that members were asked for them."""

    def __init__(self, spec: RouterSpec) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self._registry = CollectorRegistry()
        self._named = (spec.service, str(spec.version))
        names = ["model_name", "model_version"]
        self._requests = Counter(
            "argosy_requests", "Inference requests by status.", [*names, "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "argosy_request_seconds", "From a request's head to its answer.", names, registry=self._registry
        ).labels(*self._named)
        self._in_flight = Gauge(
            "argosy_in_flight_requests", "Requests without an answer yet.", names, registry=self._registry
        ).labels(*self._named)
        self._sub_requests = Counter(
            "argosy_router_sub_requests",
            "What members were asked, by member and outcome (a status, or unreachable).",
            [*names, "member", "outcome"],
            registry=self._registry,
        )

    @contextmanager
    def request(self) -> Iterator[list[int]]:
        """Counts one request; put the status of its answer into the list, unless an error tells it."""
        statuses: list[int] = []
        started = perf_counter()
        self._in_flight.inc()
        try:
            yield statuses
        except ArgosyError as error:
            statuses.append(error_status(error))
            raise
        finally:
            self._in_flight.dec()
            self._seconds.observe(perf_counter() - started)
            # Without a status the caller has left, or the router is at fault.
            self._requests.labels(*self._named, str(statuses[0] if statuses else 499)).inc()

    def tried(self, member: str, outcome: Outcome) -> None:
        told = str(outcome.status) if isinstance(outcome, Response) else "unreachable"
        self._sub_requests.labels(*self._named, member, told).inc()

    def answer(self) -> Answer:
        from prometheus_client import generate_latest

        return Answer(200, bytes(generate_latest(self._registry)), TEXT)
