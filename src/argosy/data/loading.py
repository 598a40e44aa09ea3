"""One rank's share of the global batches, several steps at a time, gathered ahead of their use."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from argosy.data.batches import GlobalBatches
from argosy.data.reader import Columns, SplitReader

Prepared = TypeVar("Prepared")


@dataclass(frozen=True, slots=True)
class Chunk(Generic[Prepared]):
    """``steps`` consecutive steps of one epoch from ``first_step``, for one rank.

    ``values`` is what ``prepare`` made of the columns, each dtype[steps · rows, ...] in step order;
    ``weights``, float32[steps, rows], is what each example counts in the mean over its *global* batch, so the
    sum over ranks of weighted gradients is the gradient of one process. ``examples`` counts all ranks.
    """

    epoch: int
    first_step: int
    steps: int
    examples: int
    weights: npt.NDArray[np.float32]
    values: Prepared

    @property
    def end_step(self) -> int:
        return self.first_step + self.steps


class BatchLoader(Generic[Prepared]):
    """Iterates over an epoch from any step.

    A chunk ends at the next multiple of one of ``intervals``, at the end of the epoch, and before a smaller
    last batch, so every step of a chunk has the same number of rows. A rank whose share of a last batch is
    empty gets one example that counts nothing: it must still take part in the collective operations.
    """

    def __init__(
        self,
        split: SplitReader,
        batches: GlobalBatches,
        prepare: Callable[[Columns], Prepared],
        *,
        rank: int = 0,
        workers: int = 1,
        intervals: Sequence[int] = (50,),
    ):
        self._split = split
        self._batches = batches
        self._prepare = prepare
        self._rank, self._workers = rank, workers
        self._intervals = tuple(intervals)

    def chunks(self, epoch: int, first_step: int = 0) -> Iterator[Chunk[Prepared]]:
        """The rest of an epoch. The next chunk is read in a thread while this one is in use."""
        with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
            step = first_step
            ahead = pool.submit(self._load, epoch, step) if step < self._batches.steps else None
            while ahead is not None:
                chunk = ahead.result()
                step = chunk.end_step
                ahead = pool.submit(self._load, epoch, step) if step < self._batches.steps else None
                yield chunk

    def _load(self, epoch: int, first_step: int) -> Chunk[Prepared]:
        steps = self._end(first_step) - first_step
        size = self._batches.size(first_step)
        shares = self._batches.slices(epoch, first_step, steps, self._rank, self._workers)
        weight = 1.0 / size
        if not shares.size:
            shares, weight = self._batches.batch(epoch, first_step)[np.newaxis, :1], 0.0
        values = self._prepare(self._split.gather(shares.reshape(-1)))
        weights = np.full(shares.shape, weight, np.float32)
        return Chunk(epoch, first_step, steps, size * steps, weights, values)

    def _end(self, step: int) -> int:
        whole = self._batches.rows // self._batches.batch_size
        limit = whole if step < whole else self._batches.steps
        return min(limit, *((step // interval + 1) * interval for interval in self._intervals))


def share(rows: int, rank: int, workers: int) -> tuple[int, int]:
    """The part of ``rows`` that ``rank`` evaluates: (start, stop); parts differ by at most one."""
    return rows * rank // workers, rows * (rank + 1) // workers
