"""The user's function that drops from the answer what means nothing."""

from __future__ import annotations

from typing import Any

import orjson

from argosy.serve.router.failures import FunctionFailed
from argosy.serve.router.functions import UserFunction


class Cleaner:
    """Called with each part of the merged answer, in order; gives what is returned of it, or None."""

    def __init__(self, function: UserFunction) -> None:
        self._function = function

    async def rows(self, predictions: list[Any]) -> bytes:
        """What is kept of a list of predictions: JSON values with commas between them, or nothing."""
        kept = await self._function.call(predictions)
        if kept is None:
            return b""
        tolist = getattr(kept, "tolist", None)
        rows = tolist() if tolist is not None else list(kept) if isinstance(kept, tuple | list) else kept
        if not isinstance(rows, list):
            raise FunctionFailed(
                self._function.name,
                f"it returned a {type(kept).__name__}, expected a list of the predictions to keep, or None",
            )
        return self._json(rows)[1:-1].strip()

    async def image(self, answer: dict[str, Any]) -> bytes:
        """What is kept of the answer for one image in tiles: one JSON value, or nothing."""
        kept = await self._function.call(answer)
        return b"" if kept is None else self._json(kept)

    def _json(self, value: Any) -> bytes:
        try:
            return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
        except TypeError as error:
            raise FunctionFailed(
                self._function.name, f"it returned what can not be written as JSON ({error})"
            ) from None
