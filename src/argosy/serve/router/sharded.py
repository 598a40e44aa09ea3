"""A request of any size: split over the shards while it comes, answered whole or not at all."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterable, Iterator
from dataclasses import replace
from typing import Any

import orjson

from argosy.errors import InvalidInput, InvalidRequest, TooLarge, Unavailable
from argosy.flow.service_options import Sharding
from argosy.serve.http.failures import MemberFailed
from argosy.serve.http.server import JSON, Answer, Headers, Request, StreamedAnswer
from argosy.serve.router import batches
from argosy.serve.router.cleaning import Cleaner
from argosy.serve.router.ensemble import BINARY, BODY_BYTES, Combined, Ensemble, Question
from argosy.serve.router.failures import PartFailed, PartUnavailable, Refused
from argosy.serve.router.functions import load
from argosy.serve.router.merging import Merger, TileMerger
from argosy.serve.router.parts import SHARD_KEY, Part, shard_key
from argosy.serve.router.pipeline import Pipeline
from argosy.serve.router.quorum import BUSY, tell
from argosy.serve.router.reading import Hold, Reader, TileReader
from argosy.serve.router.window import Window, WindowLimits
from argosy.serve.specs import RouterSpec

# Each may hold one unfinished instance beside its share of the window.
REQUESTS = 64
TILED_REQUESTS = 8
DECODED_IMAGES = 2


class Sharded:
    """Requests of all callers share one window."""

    def __init__(self, spec: RouterSpec, ensemble: Ensemble) -> None:
        assert spec.sharding is not None
        _check(spec.sharding)
        self._spec = spec
        self._sharding = spec.sharding
        self._ensemble = ensemble
        self._window = Window(_limits(spec.parts))
        self._hold = Hold()
        clean = spec.sharding.clean
        self._cleaner = Cleaner(load(clean, spec.sources, "the function that cleans")) if clean else None
        # A decoded image is the largest thing a router holds.
        self._decoding = asyncio.Semaphore(DECODED_IMAGES)
        self._most = TILED_REQUESTS if spec.sharding.tile else REQUESTS
        self._under_way = 0

    async def predict(self, request: Request) -> Answer | StreamedAnswer:
        """KServe V1: instances are streamed, columns taken up to the size of an ordinary request."""
        with self._one_more():
            question = self._ensemble.question(request, self._sharding.retries)
            reader = await self._reader(request)
            told = _Told(self._spec.members)
            merger = (TileMerger if self._sharding.tile else Merger)(self._cleaner)

            async def ask(part: Part) -> Combined:
                return await self._predict(part, replace(question, labels=question.labels or reader.labels))

            async def merge(part: Part, combined: Combined) -> None:
                told.note(combined)
                await merger.add(part, combined.body)

            try:
                await Pipeline(self._window, ask, merge).run(reader.parts())
                columns = reader.columns()
                if columns is not None:
                    return await self._columns(columns, question)
                return merger.answer(told.headers())
            except BaseException:
                merger.close()
                raise

    async def infer(self, request: Request) -> Answer:
        """Open Inference V2 in JSON, up to the size of an ordinary request."""
        if request.header(BINARY) is not None:
            raise InvalidInput(
                "a sharded service takes no binary tensors",
                hint="send 'data' as JSON (binary_data=False), or instances to KServe V1",
            )
        with self._one_more():
            question = self._ensemble.question(request, self._sharding.retries)
            document = await self._document(request)
            self._check_plain("Open Inference V2")
            joined: dict[str, dict[str, Any]] = {}

            async def ask(part: Part) -> Combined:
                return await self._blamed(part, question, self._ensemble.infer_part)

            parts = batches.split_v2(document, self._sharding.rows)
            headers = await self._gather(
                parts, ask, lambda part, answer: batches.join_v2(part, answer, joined)
            )
        own = {"model_name": self._spec.service, "model_version": str(self._spec.version)}
        identity = {"id": document["id"]} if isinstance(document.get("id"), str) else {}
        body = {**own, **identity, "outputs": list(joined.values())}
        return Answer(200, orjson.dumps(body), (*JSON, *headers))

    async def _columns(self, document: dict[str, Any], question: Question) -> Answer:
        self._check_plain("'inputs' in columns")
        joined: dict[str, list[Any]] = {}

        async def ask(part: Part) -> Combined:
            return await self._predict(part, question)

        parts = batches.split_columns(document, self._sharding.rows)
        headers = await self._gather(
            parts, ask, lambda part, answer: batches.join_columns(part, answer, joined)
        )
        outputs: Any = joined[""] if list(joined) == [""] else joined
        return Answer(200, orjson.dumps({"outputs": outputs}), (*JSON, *headers))

    async def _gather(self, parts: Iterable[Part], ask: Any, join: Any) -> Headers:
        told = _Told(self._spec.members)

        async def merge(part: Part, combined: Combined) -> None:
            told.note(combined)
            try:
                join(part, orjson.loads(combined.body))
            except (ValueError, AttributeError, KeyError, TypeError) as error:
                raise PartFailed(part.what, f"the shard's answer can not be read ({error!r})") from None

        await Pipeline(self._window, ask, merge).run(_each(parts))
        return told.headers()

    async def _reader(self, request: Request) -> Reader:
        if self._sharding.tile is None:
            return Reader(request, self._sharding, self._hold, merges=not self._ensemble.is_single)
        channels = await self._ensemble.channels()
        return TileReader(request, self._sharding, self._hold, self._decoding, channels)

    async def _predict(self, part: Part, question: Question) -> Combined:
        return await self._blamed(part, question, self._ensemble.predict)

    async def _blamed(self, part: Part, question: Question, ask: Any) -> Combined:
        """One part's answer, or an error that says which part it is and where it was sent."""
        key = shard_key(part.body)
        keyed = replace(question, headers=(*question.headers, (SHARD_KEY, key.encode())))
        what = f"the part {part.what} (shard key {key})"
        try:
            combined: Combined = await ask(part.body, keyed)
        except Refused as refused:
            if refused.answer.status in BUSY:
                raise PartUnavailable(
                    what, f"its shard is busy, after {question.retries + 1} tries"
                ) from None
            raise Refused(_translated(refused.answer, part)) from None
        except MemberFailed as error:
            kind = PartUnavailable if error.status == 503 else PartFailed
            reason = (
                error.reason
                if self._ensemble.is_single
                else f"member {error.context['member']!r}: {error.reason}"
            )
            raise kind(what, reason) from None
        return combined

    async def _document(self, request: Request) -> dict[str, Any]:
        try:
            document = orjson.loads(await request.body(BODY_BYTES))
        except TooLarge as error:
            hint = f'stream larger ones as {{"instances": [...]}} to /v1/models/{self._spec.service}:predict'
            raise TooLarge(error.message, hint=hint) from None
        except ValueError as error:
            raise InvalidInput(f"malformed JSON: {error}") from None
        if not isinstance(document, dict):
            raise InvalidInput("the request is no JSON object")
        return document

    def _check_plain(self, what: str) -> None:
        does = (
            "cuts images into tiles" if self._sharding.tile else "cleans its answers" if self._cleaner else ""
        )
        if does:
            raise InvalidInput(
                f"service {self._spec.service!r} {does}, which {what} can not express",
                hint=f'send {{"instances": [...]}} to /v1/models/{self._spec.service}:predict',
            )

    @contextlib.contextmanager
    def _one_more(self) -> Iterator[None]:
        if self._under_way >= self._most:
            raise Unavailable(
                f"{self._under_way} large requests are under way, and no more are taken at once",
                hint="send the request again after a second",
            )
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1


def _check(sharding: Sharding) -> None:
    sizes = (sharding.rows, *(sharding.tile or ()))
    if min(sizes) < 1 or sharding.retries < 0:
        raise InvalidRequest(
            f"sharding by {sharding.rows} rows, tiles of {sharding.tile} and {sharding.retries} retries "
            "can not be",
            hint="give rows and tile sizes from 1, and retries from 0",
        )


class _Told:
    """Who answered every part, and why others did not."""

    def __init__(self, members: tuple[str, ...]) -> None:
        self._members = members
        self._missing: dict[str, str] = {}

    def note(self, combined: Combined) -> None:
        for member, reason in combined.settled.missing.items():
            self._missing.setdefault(member, reason)

    def headers(self) -> Headers:
        return tell({name: None for name in self._members if name not in self._missing}, self._missing)


def _limits(parts: int) -> WindowLimits:
    """The usual window, or a narrower one where the shards take less."""
    usual = WindowLimits()
    return replace(usual, parts=min(usual.parts, parts), parts_each=min(usual.parts_each, parts))


async def _each(parts: Iterable[Part]) -> AsyncGenerator[Part, None]:
    for part in parts:
        yield part


def _translated(answer: Answer, part: Part) -> Answer:
    """The refusal with the positions that the caller knows."""
    try:
        document = orjson.loads(answer.body)
        document["error"] = part.translated(document["error"])
    except (ValueError, KeyError, TypeError):
        return Answer(
            answer.status, part.translated(answer.body.decode(errors="replace")).encode(), answer.headers
        )
    return Answer(answer.status, orjson.dumps(document), answer.headers)
