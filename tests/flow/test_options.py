"""What an author may ask for a step, in human units, and what is refused at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

import argosy as ar
from argosy.errors import InvalidRequest
from argosy.flow.graph import GangRule, MemoizeRule, ResourceRequest, RetryRule


def test_human_units_become_numbers() -> None:
    assert ar.Resources(cpu="500m", memory="2Gi", gpu=1).request() == ResourceRequest(0.5, 2 * 2**30, 1)
    assert ar.Memoize(max_age="14d").rule() == MemoizeRule(max_age_seconds=14 * 86400)
    assert ar.Memoize(max_age=timedelta(hours=1), version="2").rule() == MemoizeRule(3600.0, "2")
    assert ar.Retry(limit=2, backoff="500ms", maximum="1m").rule() == RetryRule(2, 0.5, 2.0, 60.0)
    assert ar.Gang(workers=4, min_workers=2).rule() == GangRule(4, 2)


def test_nothing_asked_reserves_one_core_and_limits_nothing() -> None:
    assert ar.Resources().request() == ResourceRequest(1.0, None, 0)


REFUSED: list[tuple[str, Callable[[], Any], str]] = [
    ("a negative cpu", lambda: ar.Resources(cpu=-1), "cpu -1"),
    ("a cpu that is no number", lambda: ar.Resources(cpu=float("nan")), "cpu nan"),
    ("a cpu that is infinite", lambda: ar.Resources(cpu=float("inf")), "cpu inf"),
    ("a cpu in words", lambda: ar.Resources(cpu="two"), "cpu 'two'"),
    ("a negative memory", lambda: ar.Resources(memory="-2Gi"), "memory '-2Gi'"),
    ("no memory at all", lambda: ar.Resources(memory=0), "memory 0"),
    ("a memory without its unit", lambda: ar.Resources(memory=2), "2 bytes"),
    ("a memory beyond counting", lambda: ar.Resources(memory="9" * 400 + "Gi"), "is not a size"),
    ("a negative gpu", lambda: ar.Resources(gpu=-1), "gpu -1"),
    ("half a gpu", lambda: ar.Resources(gpu=0.5), "gpu 0.5"),  # type: ignore[arg-type]
    ("a gpu that is a truth", lambda: ar.Resources(gpu=True), "gpu True"),
    ("a gang of none", lambda: ar.Gang(workers=0), "workers 0"),
    ("a gang of one and a half", lambda: ar.Gang(workers=1.5), "workers 1.5"),  # type: ignore[arg-type]
    ("fewer than none", lambda: ar.Gang(workers=2, min_workers=0), "min_workers 0"),
    ("more at least than at most", lambda: ar.Gang(workers=2, min_workers=3), "min_workers 3"),
    ("a negative retry limit", lambda: ar.Retry(limit=-1), "limit -1"),
    ("a backoff in words", lambda: ar.Retry(backoff="soon"), "backoff"),
    ("a factor that shrinks", lambda: ar.Retry(factor=0.5), "factor 0.5"),
    ("a factor without end", lambda: ar.Retry(factor=float("inf")), "factor inf"),
    ("an age without a unit", lambda: ar.Memoize(max_age="14"), "max_age"),
    ("an age of nothing", lambda: ar.Memoize(max_age="0d"), "max_age: duration '0d'"),
    ("a negative age", lambda: ar.Memoize(max_age=-1), "max_age"),
    ("an age beyond counting", lambda: ar.Memoize(max_age="9" * 30 + "d"), "is not a length of time"),
    ("a version that is a number", lambda: ar.Memoize(version=2), "version 2"),  # type: ignore[arg-type]
    ("a timeout of nothing", lambda: ar.step(timeout="0s"), "timeout: duration '0s'"),
    ("a timeout in words", lambda: ar.step(timeout="long"), "timeout"),
    ("an unknown serializer", lambda: ar.step(serializer="dill"), "serializer='dill'"),
    ("an empty name", lambda: ar.step(name=""), "name=''"),
    ("a gang that is a number", lambda: ar.step(gang=2), "gang=2"),  # type: ignore[call-overload]
    ("memoize as a text", lambda: ar.step(memoize="14d"), "memoize='14d'"),  # type: ignore[call-overload]
    ("preload as one text", lambda: ar.step(preload="tensorflow"), "preload='tensorflow'"),
    ("a priority in words", lambda: ar.step(priority="high"), "priority 'high'"),  # type: ignore[call-overload]
]


@pytest.mark.parametrize(("ask", "said"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_refused_with_a_hint(ask: Callable[[], Any], said: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        ask()
    assert said in caught.value.message
    assert caught.value.hint
