"""All that a training is at one moment, as arrays: variables of the model and of the optimizer."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from argosy.train.checkpoints import Progress
from argosy.train.cluster import Cluster

Arrays = dict[str, npt.NDArray[Any]]

_SEED_STATE = "seed_generator_state"
# Odd, so that different ranks get different seeds; below 2**31, the range Keras draws seeds from.
_RANK_STRIDE = 0x1E3779B1


class TrainingState:
    """Reads and writes a model's and an optimizer's variables, random state included.

    The chief's random state is the one that counts: it is what a checkpoint holds, and every other rank's is
    made from it, so that ranks draw different dropout masks and still all resume from one file.
    """

    def __init__(self, model: Any, optimizer: Any, cluster: Cluster):
        self._cluster = cluster
        self._variables: dict[str, Any] = {
            **{f"model.{i}": v for i, v in enumerate(model.variables)},
            **{f"optimizer.{i}": v for i, v in enumerate(optimizer.variables)},
        }

    @property
    def shapes(self) -> list[str]:
        """What a checkpoint must fit."""
        return [f"{v.dtype}{list(v.shape)}" for v in self._variables.values()]

    def read(self) -> Arrays:
        return {name: np.asarray(variable.numpy()) for name, variable in self._variables.items()}

    def write(self, arrays: Arrays) -> None:
        for name, variable in self._variables.items():
            variable.assign(arrays[name])

    def follow_chief(self, progress: Progress) -> Progress:
        """Take the chief's variables and position; ``progress`` of other ranks is ignored."""
        if self._cluster.workers == 1:
            return progress
        own = self.read()
        position = np.array([progress.epoch, progress.step], np.int64)
        *values, position = self._cluster.broadcast([*own.values(), position])
        arrays = dict(zip(own, values, strict=True))
        self.write({name: self._for_rank(name, array) for name, array in arrays.items()})
        if self._cluster.is_chief:
            return progress
        return Progress(epoch=int(position[0]), step=int(position[1]))

    def _for_rank(self, name: str, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if self._cluster.is_chief or self._variables[name].name != _SEED_STATE:
            return array
        ranked = array.copy()
        ranked[0] = (int(array[0]) + self._cluster.rank * _RANK_STRIDE) % 2**31
        return ranked

    def first_bad_variable(self) -> str | None:
        """The path of a variable that holds what is not a finite number, or None."""
        for variable in self._variables.values():
            value = np.asarray(variable.numpy())
            if np.issubdtype(value.dtype, np.floating) and not np.isfinite(value).all():
                return str(variable.path)
        return None
