"""The answers of the parts, in order, to one answer that is never held whole in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import orjson

from argosy.serve.http.server import JSON, Headers, StreamedAnswer
from argosy.serve.router.cleaning import Cleaner
from argosy.serve.router.failures import PartFailed
from argosy.serve.router.parts import Part
from argosy.serve.router.spool import Spool, stream

PREDICTIONS = "predictions"
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST = msgspec.json.Decoder(list[msgspec.Raw])


def columns(part: Part, body: bytes) -> dict[str, bytes]:
    """The lists of a part's answer that have one entry for each of its instances, without their brackets.

    Raises PartFailed when ``predictions`` is not among them.
    """
    try:
        document = _OBJECT.decode(body)
        predictions = _LIST.decode(document[PREDICTIONS])
    except (msgspec.MsgspecError, KeyError) as error:
        raise PartFailed(part.what, f"the shard's answer holds no list of predictions ({error!r})") from None
    if len(predictions) != part.count:
        reason = f"the shard answered {len(predictions)} predictions for {part.count} instances"
        raise PartFailed(part.what, reason)
    found = {PREDICTIONS: bytes(document[PREDICTIONS])[1:-1]}
    for name, raw in document.items():
        text = bytes(raw)
        if name != PREDICTIONS and text.startswith(b"[") and len(_LIST.decode(raw)) == part.count:
            found[name] = text[1:-1]
    return found


class Merger:
    """Takes the answers of parts in order. With a cleaner, ``predictions`` alone is returned."""

    def __init__(self, cleaner: Cleaner | None, new_spool: Callable[[], Spool] = Spool) -> None:
        self._cleaner = cleaner
        self._new_spool = new_spool
        self._spools: dict[str, Spool] = {}

    async def add(self, part: Part, body: bytes) -> None:
        """Raises PartFailed, FunctionFailed or StorageFull."""
        found = columns(part, body)
        if self._cleaner is not None:
            predictions = orjson.loads(b"[" + found[PREDICTIONS] + b"]")
            found = {PREDICTIONS: await self._cleaner.rows(predictions)}
        if not self._spools:
            self._spools = {name: self._new_spool() for name in found}
        for name, spool in self._spools.items():
            if name not in found:
                raise PartFailed(part.what, f"the shard's answer has no {name!r}, as those before it had")
            self._append(spool, found[name])

    def answer(self, headers: Headers) -> StreamedAnswer:
        """Once every part was added."""
        pieces: list[bytes | Spool] = []
        for name, spool in self._spools.items():
            pieces += [b"," if pieces else b"{", orjson.dumps(name) + b":[", spool, b"]"]
        pieces.append(b"}")
        length = sum(piece.length if isinstance(piece, Spool) else len(piece) for piece in pieces)
        return StreamedAnswer(200, (*JSON, *headers), stream(pieces), length)

    def close(self) -> None:
        for spool in self._spools.values():
            spool.close()

    @staticmethod
    def _append(spool: Spool, rows: bytes) -> None:
        if rows:
            spool.write(b"," + rows if spool.length else rows)


class TileMerger(Merger):
    """Takes the answers for the tiles of one image after the other."""

    def __init__(self, cleaner: Cleaner | None, new_spool: Callable[[], Spool] = Spool) -> None:
        super().__init__(None, new_spool)
        self._image_cleaner = cleaner
        self._spools = {PREDICTIONS: new_spool()}
        self._missing = 0
        self._grid = (0, 0)
        self._rows: list[Any] = []

    async def add(self, part: Part, body: bytes) -> None:
        rows = columns(part, body)[PREDICTIONS]
        assert part.tiles is not None
        if not part.tiles.start:
            self._begin(part.tiles.grid)
        self._missing -= part.count
        if self._image_cleaner is None:
            spool = self._spools[PREDICTIONS]
            spool.write(b"," + rows if part.tiles.start else rows)
            if not self._missing:
                spool.write(b"]}")
            return
        self._rows += orjson.loads(b"[" + rows + b"]")
        if not self._missing:
            image = {"tiles": list(self._grid), "predictions": self._rows}
            self._rows = []
            self._append(self._spools[PREDICTIONS], await self._image_cleaner.image(image))

    def _begin(self, grid: tuple[int, int]) -> None:
        self._grid = grid
        self._missing = grid[0] * grid[1]
        if self._image_cleaner is None:
            self._append(self._spools[PREDICTIONS], b'{"tiles":%s,"predictions":[' % orjson.dumps(grid))
