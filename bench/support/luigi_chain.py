"""``luigi_chain.py FOLDER LENGTH``: the seconds a task takes in a chain of Luigi's, a process for each."""

# mypy: ignore-errors
# Luigi has no types, and only the environment of the benchmarks has Luigi.

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path

import luigi

FOLDER, LENGTH = Path(sys.argv[1]), int(sys.argv[2])


class AddOne(luigi.Task):
    number = luigi.IntParameter()

    def requires(self) -> list[luigi.Task]:
        return [AddOne(number=self.number - 1)] if self.number else []

    def output(self) -> luigi.LocalTarget:
        return luigi.LocalTarget(str(FOLDER / f"{self.number}.txt"))

    def run(self) -> None:
        before = Path(self.input()[0].path).read_text() if self.number else "0"
        with self.output().open("w") as file:
            file.write(str(int(before) + 1))


def main() -> None:
    logging.disable(logging.CRITICAL)
    luigi.configuration.get_config().set("worker", "force_multiprocessing", "true")
    start = time.perf_counter()
    done = luigi.build([AddOne(number=LENGTH - 1)], local_scheduler=True, workers=1, no_lock=True)
    assert done
    print((time.perf_counter() - start) / LENGTH)


if __name__ == "__main__":
    main()
