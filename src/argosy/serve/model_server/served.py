"""The model a replica serves, and what it is called."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from argosy.errors import InvalidInput
from argosy.serve.model_server.instances import InputLimits
from argosy.serve.models.model import DEFAULT_SIGNATURE, LoadedModel, Signature


@dataclass(frozen=True, slots=True)
class Served:
    model: LoadedModel
    names: tuple[str, ...]
    version: int = 1
    limits: InputLimits = field(default_factory=InputLimits)
    _most_rows: dict[str, int] = field(default_factory=dict)

    def most_rows(self, signature: str) -> int:
        """How many rows of this signature's inputs a request may hold: what the model is given may be a
        thousandfold of what is sent."""
        known = self._most_rows.get(signature)
        if known is None:
            specs = self.model.signatures[signature].inputs
            each = max((math.prod(size for size in spec.shape if size > 0) for spec in specs), default=1)
            known = self._most_rows[signature] = max(1, self.limits.input_values // each)
        return known

    def takes_images(self, signature: str) -> bool:
        return self.model.preprocessing is not None and signature == DEFAULT_SIGNATURE

    def signature(self, name: str) -> Signature:
        """Raises InvalidInput that names those there are."""
        known = self.model.signatures.get(name)
        if known is None:
            there = ", ".join(repr(one) for one in sorted(self.model.signatures))
            raise InvalidInput(f"the model has no signature {name!r}", hint=f"signatures here: {there}")
        return known
