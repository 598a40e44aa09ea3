"""What must hold of a service's options: shared by workflows, command line, API and serve room."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from argosy.flow.service_options import (
    Access,
    Balancing,
    BalancingPolicy,
    Batching,
    Ensemble,
    Release,
    ReleaseMode,
    Scaling,
    ServiceOptions,
    Sharding,
    Strategy,
)

AGGREGATES = ("mean", "weighted_mean", "majority_vote", "function")
MOST_REPLICAS = 256
# What is beyond is a slip of the pen: times are seconds, sizes bytes.
_LARGEST = 1e15
_TIER = re.compile(r"[a-z0-9]([-a-z0-9_]{0,61}[a-z0-9])?")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")


class Fault(NamedTuple):
    """``place`` is a dotted path such as ``scaling.target``, in the words of ServiceOptions."""

    place: str
    message: str
    hint: str


def faults(
    options: ServiceOptions, replicas: tuple[int, int], aggregate: str, models: int | None
) -> list[Fault]:
    """Everything that is wrong with them; ``models`` is how many there are, None while nobody knows."""
    return [
        *_replicas(replicas, options),
        *_aggregate(aggregate, options.ensemble, models),
        *_ensemble(options.ensemble, models),
        *_scaling(options.scaling),
        *_batching(options.batching),
        *_balancing(options.balancing),
        *_sharding(options.sharding, options.strategy),
        *_access(options.access),
        *_release(options.release),
    ]


def _replicas(replicas: tuple[int, int], options: ServiceOptions) -> Iterator[Fault]:
    least, most = replicas
    if not 0 <= least <= most or not 1 <= most <= MOST_REPLICAS:
        yield Fault(
            "replicas",
            f"{least} to {most} replicas can not be",
            f"write (fewest, most) with 0 ≤ fewest ≤ most and 1 ≤ most ≤ {MOST_REPLICAS}, such as (1, 4)",
        )
    elif least == 0 and options.strategy is Strategy.SHARDED:
        yield Fault(
            "replicas",
            "a sharded service has at least one replica, and is asked to have 0",
            "write (1, ...) or more, or use the strategy 'event'",
        )


def _aggregate(aggregate: str, ensemble: Ensemble, models: int | None) -> Iterator[Fault]:
    if aggregate not in AGGREGATES:
        yield Fault(
            "aggregate",
            f"{aggregate[:80]!r} is no way to make one answer of several",
            f"use one of {', '.join(map(repr, AGGREGATES))}",
        )
        return
    if aggregate == "function" and ensemble.function is None:
        yield Fault("ensemble.function", "the aggregate 'function' has no function", "name one")
    if aggregate != "function" and ensemble.function is not None:
        yield Fault(
            "ensemble.function",
            f"a function is given, but the aggregate is {aggregate!r}",
            "use the aggregate 'function', or drop the function",
        )
    yield from _weights(aggregate, ensemble.weights, models)


def _weights(aggregate: str, weights: tuple[float, ...], models: int | None) -> Iterator[Fault]:
    if aggregate != "weighted_mean":
        if weights:
            yield Fault(
                "ensemble.weights",
                f"weights are given, but the aggregate is {aggregate!r}",
                "use the aggregate 'weighted_mean', or drop the weights",
            )
        return
    if models is not None and len(weights) != models:
        yield Fault(
            "ensemble.weights",
            f"there are {len(weights)} weights for {models} models",
            "give one weight for each model, in the order of the models",
        )
    elif not weights:
        yield Fault("ensemble.weights", "the aggregate 'weighted_mean' has no weights", "give one a model")
    if weights and not (all(0 <= weight <= _LARGEST for weight in weights) and sum(weights) > 0):
        shown = ", ".join(f"{weight:g}" for weight in weights)
        yield Fault(
            "ensemble.weights",
            f"the weights {shown} can not be",
            "weights are numbers from 0, and at least one is more",
        )


def _ensemble(ensemble: Ensemble, models: int | None) -> Iterator[Fault]:
    yield from _more_than("ensemble.member_seconds", ensemble.member_seconds, 0)
    if ensemble.quorum < 0 or (models is not None and ensemble.quorum > models):
        of = "models" if models is None else f"{models} models"
        yield Fault(
            "ensemble.quorum",
            f"{ensemble.quorum} of the {of} can not answer",
            "write how many must answer, or 0 for all",
        )


def _scaling(scaling: Scaling) -> Iterator[Fault]:
    yield from _more_than("scaling.target", scaling.target, 0)
    yield from _more_than("scaling.stable_window_seconds", scaling.stable_window_seconds, 0)
    yield from _more_than("scaling.panic_window_seconds", scaling.panic_window_seconds, 0)
    yield from _at_least("scaling.panic_threshold", scaling.panic_threshold, 1)
    yield from _at_least("scaling.idle_seconds", scaling.idle_seconds, 0)
    if scaling.panic_window_seconds > scaling.stable_window_seconds:
        yield Fault(
            "scaling.panic_window_seconds",
            f"the panic window of {scaling.panic_window_seconds:g} s is longer than the stable one of "
            f"{scaling.stable_window_seconds:g} s",
            "make it a tenth of the stable window",
        )


def _batching(batching: Batching) -> Iterator[Fault]:
    yield from _at_least("batching.max_batch_size", batching.max_batch_size, 1)
    yield from _at_least("batching.max_wait_seconds", batching.max_wait_seconds, 0)
    yield from _at_least("batching.queue_requests", batching.queue_requests, 1)
    yield from _more_than("batching.inference_seconds", batching.inference_seconds, 0)


def _balancing(balancing: Balancing) -> Iterator[Fault]:
    hashed = balancing.policy is BalancingPolicy.RING_HASH
    if hashed and not _HEADER.fullmatch(balancing.hash_header):
        yield Fault(
            "balancing.hash_header",
            f"the balancing 'ring_hash' goes by a header, and {balancing.hash_header[:80]!r} is none",
            "name the header that says who belongs together, such as 'x-user'",
        )
    if not hashed and balancing.hash_header:
        yield Fault(
            "balancing.hash_header",
            f"a header to hash is given, but the balancing is {balancing.policy.value!r}",
            "use the balancing 'ring_hash', or drop the header",
        )


def _sharding(sharding: Sharding, strategy: Strategy) -> Iterator[Fault]:
    if strategy is not Strategy.SHARDED and sharding != Sharding():
        yield Fault(
            "sharding",
            f"options of sharding are given, but the strategy is {strategy.value!r}",
            "use the strategy 'sharded', or drop them",
        )
    yield from _at_least("sharding.rows", sharding.rows, 1)
    yield from _at_least("sharding.retries", sharding.retries, 0)
    yield from _at_least("sharding.body_bytes", sharding.body_bytes, 1)
    if sharding.tile is not None and min(sharding.tile) < 1:
        height, width = sharding.tile
        yield Fault(
            "sharding.tile", f"a tile of {height} by {width} pixels can not be", "write (height, width)"
        )


def _access(access: Access) -> Iterator[Fault]:
    for tier, limit in access.tiers.items():
        place = f"access.tiers.{tier}"
        if not _TIER.fullmatch(tier):
            yield Fault(
                "access.tiers",
                f"{tier[:80]!r} can not be the name of a tier",
                "use small letters, digits and dashes, such as 'anonymous', 'signed-in' or 'gold'",
            )
        if limit.concurrency is not None:
            yield from _at_least(f"{place}.concurrency", limit.concurrency, 1)
        if limit.requests is not None:
            yield from _at_least(f"{place}.requests", limit.requests, 1)
        yield from _at_least(f"{place}.queue", limit.queue, 0)
        yield from _more_than(f"{place}.period_seconds", limit.period_seconds, 0)
        if limit.queue > 0 and limit.concurrency is None:
            yield Fault(
                f"{place}.queue",
                f"{limit.queue} requests of tier {tier!r} may wait, but their concurrency is not limited",
                "limit the concurrency too, or drop the queue",
            )


def _release(release: Release) -> Iterator[Fault]:
    least, most = {
        ReleaseMode.CANARY: (1, 99),
        ReleaseMode.SHADOW: (1, 100),
        ReleaseMode.REPLACE: (100, 100),
    }.get(release.mode, (0, 100))
    if not least <= release.percent <= most:
        range_text = f"from {least} to {most}" if least != most else f"{least}"
        yield Fault(
            "release.percent",
            f"{release.percent} percent can not be with the release {release.mode.value!r}",
            f"write a whole number {range_text}, or choose another release",
        )


def _at_least(place: str, value: float, least: float) -> Iterator[Fault]:
    if not least <= value <= _LARGEST:
        yield Fault(place, _no_amount(value, value < least), f"write a number from {least:g}")


def _more_than(place: str, value: float, limit: float) -> Iterator[Fault]:
    if not limit < value <= _LARGEST:
        yield Fault(place, _no_amount(value, False), f"write a number above {limit:g}")


def _no_amount(value: float, is_less: bool) -> str:
    if abs(value) > _LARGEST:
        return "a number of that size is no amount"
    return f"{value:g} is too little" if is_less else f"{value:g} is no amount"
