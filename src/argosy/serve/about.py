"""What a server says of itself in the Open Inference Protocol, be it a replica or the gateway."""

from __future__ import annotations

from typing import Any

from argosy import __version__

EXTENSIONS = ("classification", "binary_tensor_data", "model_metadata")


def server_metadata() -> dict[str, Any]:
    return {"name": "argosy", "version": __version__, "extensions": list(EXTENSIONS)}
