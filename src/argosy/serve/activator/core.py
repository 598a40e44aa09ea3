"""Requests that wait for a replica, as a pure step: (state, event) -> (state, commands).

A request to a cluster that has no replica is held, a replica is demanded, and it is sent on when one is
there: in the order of arrival, to the one with the fewest of them, as many as that can take. Predicting
changes nothing, so a request whose connection breaks is sent once more, to another replica.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Limits:
    """For each cluster. ``wait_seconds`` is less than the gateway gives a request in all."""

    requests: int = 1024
    body_bytes: int = 64 * 2**20
    wait_seconds: float = 45.0
    sends: int = 4


@dataclass(frozen=True, slots=True)
class Supply:
    """What there is of one cluster: the ports of its ready replicas, how many requests each may be sent at
    once, and what is wrong when there is none. It is ``hopeless`` to wait when every start has failed."""

    ports: tuple[int, ...]
    capacity: int
    trouble: str = ""
    hopeless: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """A request. ``tried`` are the ports it was sent to in vain; ``port`` is where it is now, or 0."""

    request: int
    cluster: str
    size: int
    due: float
    tried: tuple[int, ...] = ()
    port: int = 0
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Arrived:
    time: float
    request: int
    cluster: str
    size: int


@dataclass(frozen=True, slots=True)
class Left:
    """Its caller waits no longer."""

    time: float
    request: int


@dataclass(frozen=True, slots=True)
class Supplied:
    """What there is now, of every cluster."""

    time: float
    supplies: Mapping[str, Supply]


@dataclass(frozen=True, slots=True)
class Answered:
    time: float
    request: int


@dataclass(frozen=True, slots=True)
class Broken:
    """No answer came from where it was sent."""

    time: float
    request: int
    reason: str


@dataclass(frozen=True, slots=True)
class Ticked:
    time: float


Event = Arrived | Left | Supplied | Answered | Broken | Ticked


@dataclass(frozen=True, slots=True)
class Demand:
    """A replica is needed."""

    cluster: str


@dataclass(frozen=True, slots=True)
class Send:
    request: int
    port: int


@dataclass(frozen=True, slots=True)
class Refuse:
    request: int
    status: int
    reason: str
    retry_after: int = 1


Command = Demand | Send | Refuse


@dataclass(frozen=True, slots=True)
class State:
    """``held`` in order of arrival, whether they wait or were sent."""

    supplies: Mapping[str, Supply] = field(default_factory=lambda: MappingProxyType({}))
    held: Mapping[int, Held] = field(default_factory=lambda: MappingProxyType({}))

    def waiting(self, cluster: str) -> tuple[Held, ...]:
        return tuple(one for one in self.held.values() if one.cluster == cluster and not one.port)

    def count(self, cluster: str) -> int:
        return sum(one.cluster == cluster for one in self.held.values())


def decide(state: State, event: Event, limits: Limits) -> tuple[State, tuple[Command, ...]]:
    """The next state and what to do. Equal arguments give equal results."""
    match event:
        case Arrived():
            return _arrived(state, event, limits)
        case Left(request=request) | Answered(request=request):
            found = state.held.get(request)
            return _dispatched(_without(state, request), (found.cluster,) if found else ())
        case Broken():
            return _broken(state, event, limits)
        case Supplied(supplies=supplies):
            return _supplied(state, supplies)
        case Ticked(time=time):
            late = [one for one in state.held.values() if not one.port and one.due <= time]
            return _refused(state, late, limits)


def next_due(state: State) -> float | None:
    """When a request has waited too long."""
    return min((one.due for one in state.held.values() if not one.port), default=None)


def _arrived(state: State, event: Arrived, limits: Limits) -> tuple[State, tuple[Command, ...]]:
    cluster = event.cluster
    if cluster not in state.supplies:
        return state, (Refuse(event.request, 503, "what was asked for has just been taken away"),)
    supply = state.supplies[cluster]
    held = [one for one in state.held.values() if one.cluster == cluster]
    # Whoever waits already has said so, and it is said again whenever what there is changes.
    demand = () if supply.ports or state.waiting(cluster) else (Demand(cluster),)
    if supply.hopeless:
        return state, (*demand, Refuse(event.request, 503, supply.trouble))
    if len(held) >= limits.requests:
        reason = f"{len(held)} requests wait for a replica already"
        return state, (*demand, Refuse(event.request, 429, reason))
    size = sum(one.size for one in held)
    if size + event.size > limits.body_bytes:
        reason = (
            f"the requests that wait for a replica hold {size} bytes, and with {event.size} more it were "
            f"over {limits.body_bytes}"
        )
        return state, (*demand, Refuse(event.request, 503, reason))
    new = Held(event.request, cluster, event.size, event.time + limits.wait_seconds)
    state = replace(state, held=MappingProxyType({**state.held, event.request: new}))
    state, commands = _dispatched(state, (cluster,))
    return state, (*demand, *commands)


def _broken(state: State, event: Broken, limits: Limits) -> tuple[State, tuple[Command, ...]]:
    found = state.held.get(event.request)
    if found is None:
        return state, ()
    again = replace(found, port=0, tried=(*found.tried, found.port), trouble=event.reason)
    if len(again.tried) >= limits.sends or again.due <= event.time:
        reason = f"it was sent to {len(again.tried)} replicas in vain: {event.reason}"
        state, commands = _dispatched(_without(state, event.request), (found.cluster,))
        return state, (Refuse(event.request, 503, reason), *commands)
    state = replace(state, held=MappingProxyType({**state.held, event.request: again}))
    return _dispatched(state, (found.cluster,))


def _supplied(state: State, supplies: Mapping[str, Supply]) -> tuple[State, tuple[Command, ...]]:
    """New replicas get what waits; what nobody could answer any more is refused; the rest is still wanted."""
    state = replace(state, supplies=MappingProxyType(dict(supplies)))
    refused: list[Command] = []
    for one in [one for one in state.held.values() if not one.port]:
        supply = supplies.get(one.cluster)
        if supply is None or supply.hopeless:
            reason = supply.trouble if supply else "what was asked for was taken away meanwhile"
            refused.append(Refuse(one.request, 503, reason))
            state = _without(state, one.request)
    clusters = tuple(dict.fromkeys(one.cluster for one in state.held.values() if not one.port))
    demands = tuple(Demand(cluster) for cluster in clusters if not supplies[cluster].ports)
    state, commands = _dispatched(state, clusters)
    return state, (*refused, *demands, *commands)


def _refused(state: State, late: list[Held], limits: Limits) -> tuple[State, tuple[Command, ...]]:
    commands: list[Command] = []
    for one in late:
        supply = state.supplies.get(one.cluster)
        trouble = one.trouble or (supply.trouble if supply else "") or "none is there yet"
        reason = f"no replica took it within {limits.wait_seconds:g} s: {trouble}"
        commands.append(Refuse(one.request, 503, reason, retry_after=5))
        state = _without(state, one.request)
    return state, tuple(commands)


def _dispatched(state: State, clusters: tuple[str, ...]) -> tuple[State, tuple[Command, ...]]:
    held = dict(state.held)
    commands: list[Command] = []
    for cluster in clusters:
        supply = state.supplies.get(cluster)
        if supply is None or not supply.ports:
            continue
        load = dict.fromkeys(supply.ports, 0)
        for one in held.values():
            if one.port in load:
                load[one.port] += 1
        for one in state.waiting(cluster):
            free = [port for port in supply.ports if load[port] < supply.capacity and port not in one.tried]
            if not free:
                continue
            port = min(free, key=lambda each: load[each])
            load[port] += 1
            held[one.request] = replace(one, port=port)
            commands.append(Send(one.request, port))
    return replace(state, held=MappingProxyType(held)), tuple(commands)


def _without(state: State, request: int) -> State:
    held = {number: one for number, one in state.held.items() if number != request}
    return replace(state, held=MappingProxyType(held))
