"""Quantities as people write them."""

from __future__ import annotations

import contextlib
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.errors import InvalidRequest
from argosy.units import format_duration, format_memory, parse_cpu, parse_duration, parse_memory


@pytest.mark.parametrize(
    ("text", "size"),
    [("512Mi", 512 * 2**20), ("2Gi", 2 * 2**30), ("2G", 2 * 10**9), ("1.5k", 1500), ("7", 7), (42, 42)],
)
def test_memory_is_read_in_binary_and_decimal_units(text: str | int, size: int) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "Gi", "-1Gi", "0", "2 GiB of it", "1e3", "9" * 400, 0, -5, True])
def test_memory_that_is_no_size_is_refused_with_an_example(text: str | int) -> None:
    with pytest.raises(InvalidRequest, match="is not a size") as refusal:
        parse_memory(text)
    assert "512Mi" in refusal.value.hint


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("300ms", 0.3),
        ("30s", 30),
        ("1h 30m", 5400),
        ("14d", 1209600),
        ("2w", 1209600),
        ("1 hour 2minutes", 3720),
        (5, 5),
    ],
)
def test_durations_are_read_with_their_units(text: str | int, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "d", "-1s", "0s", "5 parsecs", "1s and more", "9" * 400 + "d", 0, True])
def test_durations_that_are_no_length_of_time_are_refused(text: str | int) -> None:
    with pytest.raises(InvalidRequest, match="is not a length of time"):
        parse_duration(text)


@pytest.mark.parametrize(("text", "cores"), [("500m", 0.5), ("2", 2.0), (0.25, 0.25), (0, 0.0)])
def test_cores_are_read(text: str | float, cores: float) -> None:
    assert parse_cpu(text) == cores


@pytest.mark.parametrize("text", ["", "two", "-1", -1, float("nan"), float("inf"), True])
def test_cores_that_are_no_number_are_refused(text: str | float) -> None:
    with pytest.raises(InvalidRequest, match="is not a number of cores"):
        parse_cpu(text)


@given(st.text(max_size=12))
def test_any_text_is_read_or_refused(text: str) -> None:
    for parse in (parse_memory, parse_duration, parse_cpu):
        with contextlib.suppress(InvalidRequest):
            parse(text)


def test_quantities_are_written_for_people() -> None:
    assert [format_memory(size) for size in (512, 1536, 2**31)] == ["512", "1.5Ki", "2Gi"]
    assert [format_duration(s) for s in (0.25, 4.2, 185, 7800, 273600)] == [
        "250ms", "4.2s", "3m 05s", "2h 10m", "3d 4h",
    ]  # fmt: skip
