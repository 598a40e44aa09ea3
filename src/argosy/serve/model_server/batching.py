"""Which queued requests run next: batches over a bounded queue, and when it is worth waiting for more.

One batch runs at a time. Whatever was queued while it ran is the next batch, so that under load batches grow
by themselves to what the model needs to keep up. Requests share a batch only when their ``key`` is equal: the
same signature, datatypes and inner shapes, so that their inputs can be concatenated. A request without a key
runs alone. The batch is begun by the request that waits longest, and takes those of its key in the order they
came; other keys keep their turn.

With ``wait_seconds`` an idle server holds back a batch that is not full, and only while other requests are
known to be on their way: connections in the middle of sending one (``coming``). A lone request therefore
never waits for company that is not coming, and the request that waits longest never waits more than
``wait_seconds`` for it. With 0, the default, nothing is ever held back.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import msgspec


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """``batch_rows`` caps a batch (a larger request runs alone); the rest bounds what may wait."""

    batch_rows: int = 64
    wait_seconds: float = 0.0
    queue_requests: int = 256
    queue_bytes: int = 64 * 2**20


class Waiting(msgspec.Struct, frozen=True, gc=False):
    """One request: how many model inputs it holds, the size of its body, when it came, and its key."""

    request: int
    rows: int
    size: int = 0
    came: float = 0.0
    key: Hashable = ""


class BatchState(msgspec.Struct, frozen=True):
    """``queue`` is in order of arrival; ``running`` names the requests of the batch under way."""

    limits: BatchLimits = BatchLimits()
    queue: tuple[Waiting, ...] = ()
    queued_bytes: int = 0
    running: tuple[int, ...] = ()


class Arrived(msgspec.Struct, frozen=True):
    """Requests that came in together, in order; ``coming`` more are being sent."""

    requests: tuple[Waiting, ...]
    coming: int = 0


class Finished(msgspec.Struct, frozen=True):
    """The running batch is done, well or badly."""

    now: float = 0.0
    coming: int = 0


class Looked(msgspec.Struct, frozen=True):
    """The time that was waited for has come, or fewer requests are on their way than before."""

    now: float
    coming: int


class Withdrawn(msgspec.Struct, frozen=True):
    """Nobody waits for this request any more."""

    request: int


BatchEvent = Arrived | Finished | Looked | Withdrawn


class Run(msgspec.Struct, frozen=True):
    requests: tuple[int, ...]


class Refuse(msgspec.Struct, frozen=True):
    """The queue is full: answer at once, the caller may come again."""

    request: int
    reason: str


class Wait(msgspec.Struct, frozen=True):
    """Say :class:`Looked` at this time, if nothing has run by then."""

    until: float


BatchCommand = Run | Refuse | Wait


def decide(state: BatchState, event: BatchEvent) -> tuple[BatchState, tuple[BatchCommand, ...]]:
    """The next state and what to do. At most one batch runs at a time."""
    match event:
        case Arrived(requests, coming):
            state, refusals = _admit(state, requests)
            now = requests[-1].came if requests else 0.0
            state, commands = _start(state, now, coming)
            return state, commands + refusals
        case Finished(now, coming):
            return _start(BatchState(state.limits, state.queue, state.queued_bytes), now, coming)
        case Looked(now, coming):
            return _start(state, now, coming)
        case Withdrawn(request):
            return _withdraw(state, request), ()


def refusal(state: BatchState, size: int, requests_before: int = 0, bytes_before: int = 0) -> str:
    """Why there is no room for a request of this size behind these that just came, or an empty text.

    A queue of no requests takes one of any size.
    """
    limits = state.limits
    # What starts at once does not wait, so an idle server has one batch of room beyond its queue.
    room = limits.queue_requests + (0 if state.running else limits.batch_rows)
    length = len(state.queue) + requests_before
    waiting = state.queued_bytes + bytes_before
    if length >= room:
        return f"{length} requests are waiting already"
    if length and waiting + size > limits.queue_bytes:
        return f"{waiting} bytes are waiting already"
    return ""


def _admit(state: BatchState, requests: tuple[Waiting, ...]) -> tuple[BatchState, tuple[BatchCommand, ...]]:
    accepted: list[Waiting] = []
    refused: list[BatchCommand] = []
    size = 0
    for waiting in requests:
        reason = refusal(state, waiting.size, len(accepted), size)
        if reason:
            refused.append(Refuse(waiting.request, reason))
        else:
            accepted.append(waiting)
            size += waiting.size
    queue = state.queue + tuple(accepted)
    return BatchState(state.limits, queue, state.queued_bytes + size, state.running), tuple(refused)


def _start(state: BatchState, now: float, coming: int) -> tuple[BatchState, tuple[BatchCommand, ...]]:
    if state.running or not state.queue:
        return state, ()
    batch, rest, rows = _next_batch(state.queue, state.limits.batch_rows)
    until = state.queue[0].came + state.limits.wait_seconds
    is_open = not rest and rows < state.limits.batch_rows and batch[0].key is not None
    if is_open and coming and now < until:
        return state, (Wait(until),)
    running = tuple([waiting.request for waiting in batch])
    left = sum([waiting.size for waiting in rest])
    return BatchState(state.limits, rest, left, running), (Run(running),)


def _next_batch(
    queue: tuple[Waiting, ...], batch_rows: int
) -> tuple[tuple[Waiting, ...], tuple[Waiting, ...], int]:
    """The batch, what stays in the queue, and how many rows the batch has."""
    first = queue[0]
    rows = first.rows
    if first.key is None or rows >= batch_rows:
        return queue[:1], queue[1:], rows
    batch, rest = [first], []
    is_full = False
    for waiting in queue[1:]:
        if is_full or waiting.key != first.key:
            rest.append(waiting)
        elif rows + waiting.rows > batch_rows:
            # Those of its key behind it do not overtake it.
            is_full = True
            rest.append(waiting)
        else:
            batch.append(waiting)
            rows += waiting.rows
    return tuple(batch), tuple(rest), rows


def _withdraw(state: BatchState, request: int) -> BatchState:
    kept = tuple(waiting for waiting in state.queue if waiting.request != request)
    return BatchState(state.limits, kept, sum(waiting.size for waiting in kept), state.running)
