"""What a training is asked to do."""

from __future__ import annotations

from dataclasses import dataclass

from argosy.data.preprocessing import ImagePreprocessing
from argosy.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Settings:
    """The arguments of :func:`argosy.train.fit` that are plain values."""

    epochs: int
    global_batch_size: int
    seed: int
    preprocessing: ImagePreprocessing
    features: str
    labels: str
    report_every_steps: int
    checkpoint_every_steps: int | None
    checkpoint_every_seconds: float

    def check(self) -> None:
        for name in ("epochs", "global_batch_size", "report_every_steps"):
            if getattr(self, name) < 1:
                raise InvalidRequest(f"{name} is {getattr(self, name)}; expected at least 1")
        if self.checkpoint_every_steps is not None and self.checkpoint_every_steps < 1:
            raise InvalidRequest(
                f"checkpoint_every_steps is {self.checkpoint_every_steps}; expected at least 1"
            )
