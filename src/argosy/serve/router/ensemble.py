"""The members' one answer to one request, be it a caller's or a part of a larger one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from argosy.serve.http.failures import MemberFailed
from argosy.serve.http.server import JSON, Answer, Headers, Request
from argosy.serve.router import labels
from argosy.serve.router.combining import Combiner
from argosy.serve.router.members import Members, trace_of
from argosy.serve.router.quorum import Settled, settle
from argosy.serve.router.tensors import read_v1, read_v2, write_v1, write_v2
from argosy.serve.specs import RouterSpec

BODY_BYTES = 32 * 2**20
BINARY = b"inference-header-content-length"


@dataclass(frozen=True, slots=True)
class Question:
    """What every member is asked, beside the body. ``labels`` are made here, of the merged answer."""

    headers: Headers = ()
    query: str = ""
    labels: bool = False
    retries: int = 0

    @property
    def suffix(self) -> str:
        return f"?{self.query}" if self.query else ""


@dataclass(frozen=True, slots=True)
class Combined:
    body: bytes
    settled: Settled

    def answer(self) -> Answer:
        return Answer(200, self.body, (*JSON, *self.settled.headers()))


class Ensemble:
    """With a single member its answer is returned as it is, and nothing is known of what it holds."""

    def __init__(self, spec: RouterSpec, members: Members) -> None:
        self._spec = spec
        self._members = members
        self._combiner = Combiner(spec)
        self._known: dict[str, Any] | None = None
        self.is_single = len(spec.members) == 1

    def question(self, request: Request, retries: int = 0) -> Question:
        query, asked = request.query.decode("latin-1"), False
        if not self.is_single:
            asked, query = labels.of_query(query)
        return Question(trace_of(request), query, asked, retries)

    async def answer_v1(self, request: Request) -> Answer:
        body = await request.body(BODY_BYTES)
        question = self.question(request)
        if not self.is_single:
            asked, body = labels.of_body(body)
            question = Question(question.headers, question.query, asked or question.labels)
        return (await self.predict(body, question)).answer()

    async def answer_v2(self, request: Request) -> Answer:
        body = await request.body(BODY_BYTES)
        question = self.question(request)
        binary = request.header(BINARY)
        if binary is not None:
            question = Question((*question.headers, (BINARY, binary)), question.query)
        return (await self.infer(body, question, _identity(body, binary))).answer()

    async def predict(self, body: bytes, question: Question) -> Combined:
        """KServe V1, rows or columns. Raises Refused, MemberFailed, FunctionFailed or Unavailable."""
        settled = await self._ask(lambda name: f"/v1/models/{name}:predict{question.suffix}", body, question)
        if self.is_single:
            return Combined(_only(settled), settled)
        answers = {name: read_v1(name, response.body) for name, response in settled.answered.items()}
        values = await self._combiner.combine(answers)
        named = labels.of_values(values, await self._known_labels()) if question.labels else None
        return Combined(write_v1(next(iter(answers.values())).form, values, named), settled)

    async def infer(self, body: bytes, question: Question, identity: str | None) -> Combined:
        """Open Inference V2; the answer is JSON. Raises as :meth:`predict` does."""
        settled = await self._ask(lambda name: f"/v2/models/{name}/infer{question.suffix}", body, question)
        if self.is_single:
            return Combined(_only(settled), settled)
        answers = {name: read_v2(name, response) for name, response in settled.answered.items()}
        values = await self._combiner.combine(answers)
        merged = write_v2(values, self._spec.service, str(self._spec.version), identity)
        return Combined(merged, settled)

    async def infer_part(self, body: bytes, question: Question) -> Combined:
        return await self.infer(body, question, None)

    async def channels(self) -> int:
        """Of the images that the members take, by their metadata. Raises MemberFailed or Unavailable."""
        shape = (await self._metadata())["inputs"][0]["shape"]
        return int(shape[-1]) if len(shape) == 4 and shape[-1] in (1, 3) else 1

    async def _ask(self, path: Any, body: bytes, question: Question) -> Settled:
        outcomes = await self._members.post(path, body, question.headers, question.retries)
        return settle(outcomes, self._spec.ensemble.quorum)

    async def _known_labels(self) -> list[Any]:
        return list((await self._metadata()).get("labels") or ())

    async def _metadata(self) -> dict[str, Any]:
        """What the first member to answer says of its model; it stays as long as the revision."""
        if self._known is None:
            outcomes = await self._members.get(lambda name: f"/v1/models/{name}/metadata")
            settled = settle(outcomes, 1)
            name, response = next(iter(settled.answered.items()))
            try:
                self._known = dict(orjson.loads(response.body))
            except (ValueError, TypeError) as error:
                raise MemberFailed(name, f"its metadata can not be read ({error})") from None
        return self._known


def _only(settled: Settled) -> bytes:
    return next(iter(settled.answered.values())).body


def _identity(body: bytes, binary: bytes | None) -> str | None:
    """The ``id`` of the request, which its answer has too."""
    head = body if binary is None or not binary.isdigit() else body[: int(binary)]
    if b'"id"' not in head:
        return None
    try:
        identity = orjson.loads(head)["id"]
    except (ValueError, KeyError, TypeError):
        return None
    return identity if isinstance(identity, str) else None
