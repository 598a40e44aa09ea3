"""Which queued requests run next: batches without a timer, over a bounded queue.

Whatever was queued while the last batch ran is the next batch. A lone request therefore never waits for
company, and under load batches grow by themselves to what the model needs to keep up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """``batch_rows`` caps a batch (a larger request runs alone); the rest bounds what may wait."""

    batch_rows: int = 64
    queue_requests: int = 256
    queue_bytes: int = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Waiting:
    """One request: how many model inputs it holds and the size of its body."""

    request: int
    rows: int
    size: int = 0


@dataclass(frozen=True, slots=True)
class BatchState:
    """``queue`` is in order of arrival; ``running`` names the requests of the batch under way."""

    limits: BatchLimits = BatchLimits()
    queue: tuple[Waiting, ...] = ()
    queued_bytes: int = 0
    running: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Arrived:
    """Requests that came in together, in order."""

    requests: tuple[Waiting, ...]


@dataclass(frozen=True, slots=True)
class Finished:
    """The running batch is done, well or badly."""


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """Nobody waits for this request any more."""

    request: int


BatchEvent = Arrived | Finished | Withdrawn


@dataclass(frozen=True, slots=True)
class Run:
    requests: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Refuse:
    """The queue is full: answer at once, the caller may come again."""

    request: int
    reason: str


BatchCommand = Run | Refuse


def decide(state: BatchState, event: BatchEvent) -> tuple[BatchState, tuple[BatchCommand, ...]]:
    """The next state and what to do. At most one batch runs at a time, and the order of arrival is kept."""
    match event:
        case Arrived(requests):
            state, refusals = _admit(state, requests)
            state, runs = _start(state)
            return state, runs + refusals
        case Finished():
            return _start(replace(state, running=()))
        case Withdrawn(request):
            return _withdraw(state, request), ()


def _admit(state: BatchState, requests: tuple[Waiting, ...]) -> tuple[BatchState, tuple[BatchCommand, ...]]:
    # What starts at once does not wait, so an idle server has one batch of room beyond its queue.
    room = state.limits.queue_requests + (0 if state.running else state.limits.batch_rows)
    accepted: list[Waiting] = []
    refused: list[BatchCommand] = []
    queued_bytes = state.queued_bytes
    for waiting in requests:
        length = len(state.queue) + len(accepted)
        if length >= room:
            refused.append(Refuse(waiting.request, f"{length} requests are waiting already"))
        elif length and queued_bytes + waiting.size > state.limits.queue_bytes:
            refused.append(Refuse(waiting.request, f"{queued_bytes} bytes are waiting already"))
        else:
            accepted.append(waiting)
            queued_bytes += waiting.size
    return replace(state, queue=state.queue + tuple(accepted), queued_bytes=queued_bytes), tuple(refused)


def _start(state: BatchState) -> tuple[BatchState, tuple[BatchCommand, ...]]:
    if state.running or not state.queue:
        return state, ()
    rows = count = size = 0
    for waiting in state.queue:
        if count and rows + waiting.rows > state.limits.batch_rows:
            break
        rows += waiting.rows
        size += waiting.size
        count += 1
    batch = tuple(waiting.request for waiting in state.queue[:count])
    rest = replace(state, queue=state.queue[count:], queued_bytes=state.queued_bytes - size, running=batch)
    return rest, (Run(batch),)


def _withdraw(state: BatchState, request: int) -> BatchState:
    kept = tuple(waiting for waiting in state.queue if waiting.request != request)
    return replace(state, queue=kept, queued_bytes=sum(waiting.size for waiting in kept))
