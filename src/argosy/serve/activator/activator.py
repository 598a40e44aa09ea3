"""The activator: answers the requests that the gateway has no replica for, once there is one."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote

import orjson

from argosy.serve.activator.core import (
    Answered,
    Arrived,
    Broken,
    Demand,
    Event,
    Left,
    Limits,
    Refuse,
    Send,
    State,
    Supplied,
    Supply,
    Ticked,
    decide,
    next_due,
)
from argosy.serve.http.client import Client, RequestFailed
from argosy.serve.http.messages import QUEUE_FULL
from argosy.serve.http.server import JSON, Answer, Headers, Request

CLUSTER_HEADER = b"x-argosy-cluster"
# What belongs to one connection, or is written anew for the next.
_OWN_HEADERS = frozenset(
    (
        b"connection",
        b"content-length",
        b"expect",
        b"host",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        CLUSTER_HEADER,
    )
)
# As long as the gateway waits for an answer.
_ANSWER_SECONDS = 60.0


class Activator:
    """``on_demand(cluster)`` is told that a request waits for a replica of it."""

    def __init__(self, on_demand: Callable[[str], None], limits: Limits | None = None) -> None:
        self._on_demand = on_demand
        self._limits = limits or Limits()
        self._state = State()
        self._numbers = itertools.count(1)
        self._turns: dict[int, asyncio.Future[Send | Refuse]] = {}
        self._clients: dict[int, Client] = {}
        self._timer: asyncio.TimerHandle | None = None

    def supply(self, supplies: Mapping[str, Supply]) -> None:
        """What there is now of every cluster."""
        if supplies != self._state.supplies:
            self._feed(Supplied(self._now(), supplies))
            used = {port for supply in supplies.values() for port in supply.ports}
            for port in self._clients.keys() - used:
                self._clients.pop(port).close()

    def waiting(self, cluster: str) -> int:
        """How many requests to a cluster are here, waiting or being answered."""
        return self._state.count(cluster)

    async def answer(self, request: Request) -> Answer:
        """The answer of a replica, whole and as it is, or why there is none."""
        cluster = (request.header(CLUSTER_HEADER) or b"").decode("latin-1")
        if not cluster:
            return Answer(404, orjson.dumps({"error": "no cluster is named", "code": "not_found"}))
        number = next(self._numbers)
        turn = self._turns[number] = asyncio.get_running_loop().create_future()
        announced = request.header(b"content-length") or b"0"
        self._feed(Arrived(self._now(), number, cluster, int(announced)))
        try:
            if turn.done() and isinstance(refusal := turn.result(), Refuse):
                return _refusal(refusal)
            # What starts meanwhile does not wait for the rest of the body.
            body = await request.body(self._limits.body_bytes)
            return await self._answered(request, number, body)
        finally:
            self._turns.pop(number, None)
            self._feed(Left(self._now(), number))

    async def close(self) -> None:
        """Whoever still waits is told to come again."""
        if self._timer is not None:
            self._timer.cancel()
        for number, turn in self._turns.items():
            if not turn.done():
                turn.set_result(Refuse(number, 503, "the control plane stops"))
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    async def _answered(self, request: Request, number: int, body: bytes) -> Answer:
        while True:
            turn = await self._turns[number]
            if isinstance(turn, Refuse):
                return _refusal(turn)
            self._turns[number] = asyncio.get_running_loop().create_future()
            client = self._clients.get(turn.port) or self._clients.setdefault(turn.port, Client(turn.port))
            try:
                response = await client.request(
                    request.method,
                    _target(request),
                    body,
                    timeout_seconds=_ANSWER_SECONDS,
                    headers=_passed_on(request.headers),
                )
            except RequestFailed as error:
                self._feed(Broken(self._now(), number, str(error)))
                continue
            self._feed(Answered(self._now(), number))
            return Answer(response.status, response.body, _passed_on(tuple(response.headers.items())))

    def _feed(self, event: Event) -> None:
        self._state, commands = decide(self._state, event, self._limits)
        for command in commands:
            match command:
                case Demand(cluster=cluster):
                    # Not from inside of whatever led here: it may be the answer to another demand.
                    asyncio.get_running_loop().call_soon(self._on_demand, cluster)
                case Send(request=number) | Refuse(request=number):
                    turn = self._turns.get(number)
                    if turn is not None and not turn.done():
                        turn.set_result(command)
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = next_due(self._state)
        if due is not None:
            loop = asyncio.get_running_loop()
            wait = max(0.001, due - self._now())
            self._timer = loop.call_later(wait, lambda: self._feed(Ticked(self._now())))

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _target(request: Request) -> str:
    path = quote(request.path, safe="/:@!$&'()*+,;=~")
    return f"{path}?{request.query.decode('latin-1')}" if request.query else path


def _passed_on(headers: Sequence[tuple[bytes, bytes]]) -> Headers:
    return tuple((name, value) for name, value in headers if name.lower() not in _OWN_HEADERS)


def _refusal(turn: Refuse) -> Answer:
    body = {
        "error": turn.reason,
        "code": "overloaded" if turn.status == 429 else "unavailable",
        "hint": f"send the request again after {turn.retry_after} s",
    }
    headers = (*JSON, (b"retry-after", str(turn.retry_after).encode()))
    if turn.status == 429:
        headers += QUEUE_FULL
    return Answer(turn.status, orjson.dumps(body), headers)
