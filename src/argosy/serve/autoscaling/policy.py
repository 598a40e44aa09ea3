"""How many replicas one member of a service should have, as a pure step.

The algorithm is that of Knative's pod autoscaler: the average over a stable window decides, and in a panic,
when the load of a short window is more than the replicas there can take, the short one does, and nothing
shrinks until it has been over for a stable window. Time is counted from sample to sample and never by more
than ``LONGEST_GAP_SECONDS``: neither a clock that jumps nor a machine that slept looks like an idle hour.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from argosy.flow.service_options import ScaleMetric, Scaling

LONGEST_GAP_SECONDS = 5.0
MOST_GROWTH = 10.0
MOST_SHRINKAGE = 2.0
# What is lost in adding up must not make another replica.
_TINY = 1e-9

_UNITS = {
    ScaleMetric.CONCURRENCY: "requests under way or refused",
    ScaleMetric.RPS: "requests/s",
    ScaleMetric.CPU: "% of a core",
    ScaleMetric.MEMORY: "MiB",
}


@dataclass(frozen=True, slots=True)
class Bounds:
    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Sample:
    """``load`` is the metric, of all replicas together; ``busy``: a request is under way, waits, or came
    since the last sample."""

    load: float
    busy: bool
    ready: int


@dataclass(frozen=True, slots=True)
class Point:
    time: float
    load: float


@dataclass(frozen=True, slots=True)
class ScalerState:
    """``calm`` is how long ago the load was last too much, None when there is no panic; ``held`` is the most
    that this panic asked for."""

    points: tuple[Point, ...] = ()
    idle: float = 0.0
    calm: float | None = None
    held: int = 0
    time: float | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    desired: int
    reason: str


def decide(
    state: ScalerState, sample: Sample, scaling: Scaling, bounds: Bounds, time: float
) -> tuple[ScalerState, Decision]:
    """The next state, and how many replicas there should be now, within the bounds, and why."""
    state = _noted(state, sample, scaling, time)
    stable = _average(state.points, time - scaling.stable_window_seconds)
    panic = max(_average(state.points, time - scaling.panic_window_seconds), sample.load)
    ready = max(1, sample.ready)
    needed, sudden = _replicas(stable, scaling), _replicas(panic, scaling)
    state = _alarmed(state, sudden / ready >= scaling.panic_threshold, sudden, scaling)
    desired, reason = needed, _average_reason(stable, needed, scaling)
    if state.calm is not None:
        desired = max(state.held, sudden, needed)
        state = replace(state, held=desired)
        if desired > needed:
            reason = _panic_reason(state, sample, panic, sudden, scaling)
    desired, reason = _limited(desired, reason, ready)
    return state, _bounded(state, sample, scaling, bounds, desired, reason)


def _noted(state: ScalerState, sample: Sample, scaling: Scaling, time: float) -> ScalerState:
    passed = 0.0 if state.time is None else min(LONGEST_GAP_SECONDS, max(0.0, time - state.time))
    oldest = time - scaling.stable_window_seconds
    points = [point for point in state.points if oldest < point.time < time]
    return replace(
        state,
        points=(*points, Point(time, sample.load)),
        idle=0.0 if sample.busy else state.idle + passed,
        calm=None if state.calm is None else state.calm + passed,
        time=time,
    )


def _alarmed(state: ScalerState, too_much: bool, sudden: int, scaling: Scaling) -> ScalerState:
    if too_much and sudden > 1:
        return replace(state, calm=0.0, held=max(state.held, sudden))
    if state.calm is not None and state.calm >= scaling.stable_window_seconds:
        return replace(state, calm=None, held=0)
    return state


def _average(points: tuple[Point, ...], oldest: float) -> float:
    inside = [point.load for point in points if point.time > oldest]
    return math.fsum(inside) / len(inside) if inside else 0.0


def _replicas(load: float, scaling: Scaling) -> int:
    return max(0, math.ceil(load / scaling.target - _TINY))


def _limited(desired: int, reason: str, ready: int) -> tuple[int, str]:
    """Not all at once: what starts or ends is load itself."""
    most, least = math.ceil(MOST_GROWTH * ready), math.floor(ready / MOST_SHRINKAGE)
    if desired > most:
        return most, f"{reason}; no more than {MOST_GROWTH:g} times the {ready} there are at once"
    if desired < least:
        return least, f"{reason}; at most half of the {ready} there are end at once"
    return desired, reason


def _bounded(
    state: ScalerState, sample: Sample, scaling: Scaling, bounds: Bounds, desired: int, reason: str
) -> Decision:
    if bounds.least == 0 and not sample.busy and state.idle >= scaling.idle_seconds:
        return Decision(0, f"no request for {scaling.idle_seconds:g} s")
    if desired > bounds.most:
        return Decision(bounds.most, f"{reason}; {bounds.most} is the most allowed")
    least = max(1, bounds.least)
    if bounds.least == 0 and desired <= 1 and not sample.busy:
        left = max(0.0, scaling.idle_seconds - state.idle)
        return Decision(1, f"{reason}; the last one ends after {left:.0f} s more without a request")
    if desired < least:
        return Decision(least, f"{reason}; {least} is the least allowed")
    return Decision(desired, reason)


def _average_reason(load: float, needed: int, scaling: Scaling) -> str:
    over = f"on average over {scaling.stable_window_seconds:g} s"
    return _need(load, over, needed, scaling)


def _panic_reason(state: ScalerState, sample: Sample, load: float, sudden: int, scaling: Scaling) -> str:
    if not state.calm and sudden == state.held:
        return _need(load, f"came suddenly to {sample.ready} ready", sudden, scaling)
    over = "now" if load == sample.load else f"on average over {scaling.panic_window_seconds:g} s"
    need = _need(load, over, sudden, scaling)
    until = (
        f"until it has been over for {scaling.stable_window_seconds:g} s, now for {state.calm or 0.0:.0f} s"
    )
    return f"{need}; a sudden load needed {state.held}, which stay {until}"


def _need(load: float, how: str, needed: int, scaling: Scaling) -> str:
    return f"{load:.3g} {_UNITS[scaling.metric]} {how}, {scaling.target:g} a replica: {needed} needed"
