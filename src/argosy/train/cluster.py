"""The processes that train together, and the two things they do together: sum and follow the chief.

Variables are plain ones in every process, equal because every process starts from the chief's and applies the
same summed gradients. ``tf.distribute.MultiWorkerMirroredStrategy`` joins the processes and carries the
collective operations. One process alone needs no strategy and pays for none.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from argosy.errors import InvalidRequest

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Membership:
    """This process's place, by TensorFlow's own contract: the ``TF_CONFIG`` variable."""

    rank: int = 0
    workers: int = 1

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Membership:
        """Rank 0 is the ``chief`` task if there is one, else worker 0. Raises InvalidRequest if malformed."""
        text = environment.get("TF_CONFIG", "")
        if not text.strip():
            return cls()
        try:
            configuration = json.loads(text)
            cluster = configuration.get("cluster", {})
            chiefs, workers = len(cluster.get("chief", [])), len(cluster.get("worker", []))
            task = configuration.get("task", {"type": "worker", "index": 0})
            kind, index = task["type"], int(task["index"])
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InvalidRequest(
                f"TF_CONFIG is not a cluster: {error!r} in {text[:200]!r}",
                hint='write {"cluster": {"worker": ["host:port", ...]}, '
                '"task": {"type": "worker", "index": 0}}',
            ) from None
        total = max(1, chiefs + workers)
        rank = index if kind == "chief" else chiefs + index
        if kind not in ("chief", "worker") or not 0 <= rank < total:
            raise InvalidRequest(
                f"TF_CONFIG names task {kind} {index}; expected one of its {total} chief and worker tasks",
                hint="check the task's type and index",
            )
        return cls(rank, total)


class Cluster:
    """A joined cluster: ``run`` and ``sum`` build graph operations, the others act at once.

    Every process must make the same calls in the same order: a collective operation waits for all.
    """

    def __init__(self, tf: Any, membership: Membership):
        self.rank, self.workers = membership.rank, membership.workers
        self._tf = tf
        self._strategy = _join(tf) if self.workers > 1 else None
        self._summings: dict[str, Any] = {}

    @property
    def is_chief(self) -> bool:
        return self.rank == 0

    def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call ``function`` where :meth:`sum` may be used."""
        if self._strategy is None:
            return function(*arguments)
        return self._strategy.run(function, args=arguments)

    def sum(self, tensor: Any) -> Any:
        """The sum of a tensor over all processes, inside :meth:`run`."""
        if self._strategy is None:
            return tensor
        context = self._tf.distribute.get_replica_context()
        # A tensor made outside has no device, and a collective operation needs one.
        return context.all_reduce(self._tf.distribute.ReduceOp.SUM, self._tf.identity(tensor))

    def sum_arrays(self, arrays: Sequence[Array]) -> list[Array]:
        """Sums over all processes, one collective operation for each dtype."""
        results = list(arrays)
        if self._strategy is None:
            return results
        for dtype in sorted({array.dtype.name for array in arrays}):
            chosen = [i for i, array in enumerate(arrays) if array.dtype.name == dtype]
            flat = np.concatenate([arrays[i].reshape(-1) for i in chosen])
            total = self._summing(dtype)(self._tf.constant(flat)).numpy()
            ends = np.cumsum([arrays[i].size for i in chosen])
            for i, part in zip(chosen, np.split(total, ends[:-1]), strict=True):
                results[i] = part.reshape(arrays[i].shape)
        return results

    def broadcast(self, arrays: Sequence[Array]) -> list[Array]:
        """The chief's values, in every process; shapes and dtypes must agree."""
        if self._strategy is None:
            return list(arrays)
        return self.sum_arrays([a if self.is_chief else np.zeros_like(a) for a in arrays])

    def _summing(self, dtype: str) -> Any:
        if dtype not in self._summings:
            self._summings[dtype] = self._tf.function(
                lambda flat: self.run(self.sum, flat),
                input_signature=[self._tf.TensorSpec((None,), dtype)],
                autograph=False,
            )
        return self._summings[dtype]


def _join(tf: Any) -> Any:
    experimental = tf.distribute.experimental
    options = experimental.CommunicationOptions(implementation=experimental.CollectiveCommunication.RING)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
    except RuntimeError as error:
        if "program startup" not in str(error):
            raise
        raise InvalidRequest(
            "this process used TensorFlow before it joined its gang",
            hint="call train.fit before any other TensorFlow operation; build the model inside build_model",
        ) from None
