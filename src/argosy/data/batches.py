"""Which rows make which global batch: a function of (seed, epoch, step) alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

import numpy as np

from argosy.data.permutation import Indices, Permutation
from argosy.errors import InvalidRequest

Remainder = Literal["keep", "drop"]


@dataclass(frozen=True, slots=True)
class GlobalBatches:
    """The order in which ``rows`` examples are read, ``batch_size`` of them a step, by all workers together.

    An epoch reads each example once, in an order of its own; ``remainder`` says what becomes of the last
    rows when ``batch_size`` does not divide ``rows``: ``keep`` gives them a smaller last batch, ``drop``
    leaves them out of that epoch (other rows in each). The number of workers never changes a global batch,
    only how it is cut, so a gang of any size that resumes at (epoch, step) goes on with the very same
    examples. Any batch costs the same; none depends on those before it.
    """

    rows: int
    batch_size: int
    seed: int
    remainder: Remainder = "keep"
    steps: int = field(init=False)

    def __post_init__(self) -> None:
        if self.rows < 1 or self.batch_size < 1:
            raise InvalidRequest(
                f"batches of {self.batch_size} from {self.rows} rows; expected at least one of each",
                hint="give a dataset that is not empty and a batch size of one or more",
            )
        if self.remainder == "drop" and self.rows < self.batch_size:
            raise InvalidRequest(
                f"{self.rows} rows make no whole batch of {self.batch_size}, and the remainder is dropped",
                hint="make the batch smaller, or keep the remainder",
            )
        whole, rest = divmod(self.rows, self.batch_size)
        object.__setattr__(self, "steps", whole + (rest > 0 and self.remainder == "keep"))

    def size(self, step: int) -> int:
        """Rows of the global batch at ``step``: ``batch_size``, or fewer in a kept last batch."""
        self._check(0, step)
        return min(self.batch_size, self.rows - step * self.batch_size)

    def batch(self, epoch: int, step: int) -> Indices:
        """The rows of one global batch, int64[size(step)]."""
        return self.slice(epoch, step, rank=0, workers=1)

    def slice(self, epoch: int, step: int, rank: int, workers: int) -> Indices:
        """The share of ``rank``: contiguous, in rank order, sizes that differ by at most one."""
        return self.slices(epoch, step, 1, rank, workers).reshape(-1)

    def slices(self, epoch: int, first_step: int, steps: int, rank: int, workers: int) -> Indices:
        """The shares of ``rank`` in consecutive global batches of one size, int64[steps, share]."""
        self._check(epoch, first_step)
        self._check(epoch, first_step + steps - 1)
        if not 0 <= rank < workers:
            raise InvalidRequest(f"rank {rank} of {workers} workers; expected 0 to {workers - 1}")
        size = self.size(first_step)
        if size != self.size(first_step + steps - 1):
            raise InvalidRequest(f"steps {first_step} to {first_step + steps - 1} differ in size")
        starts = np.arange(first_step, first_step + steps)[:, np.newaxis] * self.batch_size
        shares = starts + np.arange(size * rank // workers, size * (rank + 1) // workers)
        rows: Indices = _epoch_order(self.rows, self.seed, epoch)(shares)
        return rows

    def position(self, global_step: int) -> tuple[int, int]:
        """(epoch, step) of a step counted from the start of training."""
        return divmod(global_step, self.steps)

    def _check(self, epoch: int, step: int) -> None:
        if epoch < 0 or not 0 <= step < self.steps:
            raise InvalidRequest(
                f"there is no step {step} in epoch {epoch}; expected 0 to {self.steps - 1} in an epoch from 0"
            )


@lru_cache(maxsize=64)
def _epoch_order(rows: int, seed: int, epoch: int) -> Permutation:
    return Permutation(rows, (seed, epoch))
