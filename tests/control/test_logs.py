"""Reading what attempts wrote, whole and as it grows."""

from __future__ import annotations

import asyncio
from pathlib import Path

from argosy.control.logs import LogReader
from argosy.engine.specs import log_pattern
from argosy.flow.graph import NodeId
from argosy.home import Home
from argosy.metadata.records import AttemptRecord

RUN = "demo-abc"


def attempt(number: int, workers: int = 1) -> AttemptRecord:
    return AttemptRecord(f"{RUN}:train:{number}", RUN, "train", number, number, "running", workers)


def write(home: Home, number: int, rank: int, text: str) -> None:
    path = Path(log_pattern(home, RUN, NodeId("train"), number).format(rank=rank))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(text)


async def collect(reader: LogReader, follow: bool) -> list[tuple[int, str]]:
    return [(line.rank, line.text) async for batch in reader.lines(follow) for line in batch]


def test_every_rank_of_every_attempt_is_read_from_its_first_line_on(tmp_path: Path) -> None:
    home = Home(tmp_path)
    write(home, 1, 0, "chief one\nchief two\n")
    write(home, 1, 1, "worker\n")
    write(home, 2, 0, "again, without an end")
    reader = LogReader(home, lambda: [attempt(1, 2), attempt(2)], lambda: True)
    assert asyncio.run(collect(reader, follow=False)) == [
        (0, "chief one"),
        (0, "chief two"),
        (1, "worker"),
        (0, "again, without an end"),
    ]


def test_a_file_that_is_not_there_yet_has_no_lines(tmp_path: Path) -> None:
    reader = LogReader(Home(tmp_path), lambda: [attempt(1)], lambda: True)
    assert asyncio.run(collect(reader, follow=True)) == []


def test_following_gives_each_line_once_and_ends_with_the_run(tmp_path: Path) -> None:
    home = Home(tmp_path)
    write(home, 1, 0, "one\ntw")
    rest = iter(["o\nthree\n", "four"])

    def is_over() -> bool:
        # Asked before each reading: the file grows between readings, and the run ends after the last growth.
        more = next(rest, None)
        if more is not None:
            write(home, 1, 0, more)
        return more is None

    reader = LogReader(home, lambda: [attempt(1)], is_over)
    lines = [text for _, text in asyncio.run(collect(reader, follow=True))]
    assert lines == ["one", "two", "three", "four"]


def test_a_log_larger_than_one_reading_is_read_whole_in_order(tmp_path: Path) -> None:
    home = Home(tmp_path)
    write(home, 1, 0, "".join(f"line {number}\n" for number in range(60_000)))
    reader = LogReader(home, lambda: [attempt(1)], lambda: True)
    lines = [text for _, text in asyncio.run(collect(reader, follow=False))]
    assert lines == [f"line {number}" for number in range(60_000)]
