"""What an author may ask for a step: resources, a gang, retries, memoization."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from argosy.errors import InvalidRequest
from argosy.flow.graph import GangRule, MemoizeRule, ResourceRequest, RetryRule
from argosy.units import parse_cpu, parse_duration, parse_memory

T = TypeVar("T")
Duration = str | int | float | timedelta

SMALLEST_MEMORY = 2**20


@dataclass(frozen=True, slots=True)
class Resources:
    """What each process of a step needs.

    ``cpu`` is cores (``1``, ``0.5``, ``"500m"``); ``memory`` is a size (``"2Gi"``, or bytes) that is
    reserved and is also the limit, None for neither; ``gpu`` is whole devices. Raises InvalidRequest for
    what is none of these.
    """

    cpu: float | str = 1.0
    memory: str | int | None = None
    gpu: int = 0

    def __post_init__(self) -> None:
        self.request()

    def request(self) -> ResourceRequest:
        memory = None if self.memory is None else _quantity(parse_memory, self.memory, "memory")
        if memory is not None and memory < SMALLEST_MEMORY:
            raise InvalidRequest(
                f"memory {self.memory!r} is {memory} bytes, less than any process needs",
                hint="a number without a unit is bytes: write a unit, such as '512Mi' or '2Gi'",
            )
        gpu = whole_number(self.gpu, "gpu", least=0)
        return ResourceRequest(cpu=_quantity(parse_cpu, self.cpu, "cpu"), memory=memory, gpu=gpu)


@dataclass(frozen=True, slots=True)
class Gang:
    """The step runs as ``workers`` processes, started all or none.

    ``min_workers`` says with how few it may go on when some are lost; None means all of them.
    """

    workers: int = 1
    min_workers: int | None = None

    def __post_init__(self) -> None:
        workers = whole_number(self.workers, "workers", least=1)
        if self.min_workers is None:
            return
        if whole_number(self.min_workers, "min_workers", least=1) > workers:
            raise InvalidRequest(
                f"min_workers {self.min_workers} is more than workers {workers}",
                hint=f"write min_workers from 1 to {workers}, or more workers",
            )

    def rule(self) -> GangRule:
        return GangRule(workers=self.workers, min_workers=self.min_workers)


@dataclass(frozen=True, slots=True)
class Retry:
    """Up to ``limit`` further attempts after a failure that another attempt could mend.

    The n-th waits ``backoff`` · ``factor``^(n-1), at most ``maximum``.
    """

    limit: int = 3
    backoff: Duration = 1.0
    factor: float = 2.0
    maximum: Duration = 60.0

    def __post_init__(self) -> None:
        self.rule()

    def rule(self) -> RetryRule:
        if not _is_number(self.factor) or not 1 <= self.factor < math.inf:
            raise InvalidRequest(
                f"factor {self.factor!r} is not a number from 1",
                hint="2.0 doubles the wait each time, 1.0 keeps it",
            )
        return RetryRule(
            limit=whole_number(self.limit, "limit", least=0),
            backoff_seconds=seconds(self.backoff, "backoff"),
            factor=float(self.factor),
            maximum_seconds=seconds(self.maximum, "maximum"),
        )


@dataclass(frozen=True, slots=True)
class Memoize:
    """Reuse a result of the same code, the same inputs and the same ``version``.

    ``max_age`` is how old it may be (``"14d"``), None for any age. A new ``version`` sets earlier results
    aside.
    """

    max_age: Duration | None = None
    version: str = ""

    def __post_init__(self) -> None:
        self.rule()

    def rule(self) -> MemoizeRule:
        if not isinstance(self.version, str):
            raise InvalidRequest(
                f"version {self.version!r} is not a text", hint=f"write version={str(self.version)!r}"
            )
        age = None if self.max_age is None else seconds(self.max_age, "max_age")
        return MemoizeRule(max_age_seconds=age, version=self.version)


def seconds(duration: Duration, name: str) -> float:
    """The length of a duration, which must be more than nothing."""
    length: float = _quantity(parse_duration, duration, name).total_seconds()
    if length <= 0:
        raise InvalidRequest(
            f"{name} {duration!r} is no time at all", hint="write a longer one, such as '30s'"
        )
    return length


def whole_number(value: object, name: str, *, least: int) -> int:
    """``value`` if it is an int of at least ``least``."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= least:
        return value
    raise InvalidRequest(
        f"{name} {value!r} is not a whole number from {least}", hint=f"write {name}={max(least, 1)} or more"
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _quantity(parse: Callable[..., T], value: object, name: str) -> T:
    try:
        return parse(value)
    except InvalidRequest as error:
        # The floor names the kind of quantity; an author looks for the name of the option.
        kind = error.message.partition(" ")[0]
        message = error.message if kind == name else f"{name}: {error.message}"
        raise InvalidRequest(message, hint=error.hint) from None
