"""The model a replica serves, and what it is called."""

from __future__ import annotations

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

    def takes_images(self, signature: str) -> bool:
        return self.model.preprocessing is not None and signature == DEFAULT_SIGNATURE

    def signature(self, name: str) -> Signature:
        """Raises InvalidInput that names those there are."""
        known = self.model.signatures.get(name)
        if known is None:
            there = ", ".join(repr(one) for one in sorted(self.model.signatures))
            raise InvalidInput(f"the model has no signature {name!r}", hint=f"signatures here: {there}")
        return known
