"""Runs batches of calls on a model: decodes, infers in pieces, encodes, and finds out who is at fault."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Generator, Hashable, Sequence
from typing import Any, Protocol

import numpy as np

from argosy.errors import ArgosyError
from argosy.serve.http.failures import ModelFailed
from argosy.serve.http.messages import Answer
from argosy.serve.model_server.batcher import Running
from argosy.serve.model_server.tensors import Tensor
from argosy.serve.models.model import LoadedModel, Tensors

Outputs = dict[str, Tensor]
_Step = Generator[None, None, Outputs]


class Call(Protocol):
    """One request for inference, whatever protocol it came by.

    ``rows`` are known before :meth:`inputs` unless ``key`` is None, which is run alone. ``trace`` names the
    request in the log. ``weight`` is how many bytes have to be decoded. ``abandon`` answers past the loop.
    """

    signature: str
    rows: int
    key: Hashable
    weight: int
    trace: str
    abandon: Callable[[Answer], None] | None

    def inputs(self) -> Tensors:
        """What the model is given. Raises ArgosyError that names the place at fault."""
        ...

    def answer(self, outputs: Outputs) -> Any: ...


class Guard(Protocol):
    """Told, by the thread that runs it, for which calls the model begins to run, and when it is back."""

    def begin(self, calls: Sequence[Call]) -> None: ...

    def end(self) -> None: ...


class Inference:
    """``run`` is for the batcher. One piece is at most ``batch_rows`` rows of the model's inputs."""

    def __init__(self, model: LoadedModel, batch_rows: int, guard: Guard) -> None:
        self._model = model
        self._batch_rows = batch_rows
        self._guard = guard

    def run(self, calls: Sequence[Call]) -> Running[Any]:
        results: list[Any] = [None] * len(calls)
        prepared: list[tuple[int, Call, Tensors]] = []
        for position, call in enumerate(calls):
            try:
                prepared.append((position, call, call.inputs()))
            except Exception as error:  # The others of the batch have no part in it.
                results[position] = _refused(error)
        if not prepared:
            return results
        if len(prepared) == 1:
            yield from self._run_alone(*prepared[0], results)
            return results
        try:
            merged = _merged([inputs for _, _, inputs in prepared])
            outputs = yield from self._infer(merged, [call for _, call, _ in prepared])
        except Exception as error:
            _log(f"a batch of {len(prepared)} requests failed, so each is tried alone: {_words(error)}")
            for one in prepared:
                yield
                yield from self._run_alone(*one, results)
            return results
        _share_out(prepared, outputs, results)
        return results

    def _run_alone(self, position: int, call: Call, inputs: Tensors, results: list[Any]) -> _Pieces:
        try:
            outputs = yield from self._infer(inputs, [call])
        except Exception as error:
            _log(f"the model failed{call.trace}: {_words(error)}")
            results[position] = ModelFailed(error)
            return
        results[position] = _encoded(call, outputs)

    def _infer(self, inputs: Tensors, calls: Sequence[Call]) -> _Step:
        """In pieces, so that one large request neither needs memory for all its activations at once, nor
        keeps everybody from an answer."""
        size = self._batch_rows
        name = calls[0].signature
        if not self._model.signatures[name].batched:
            return self._guarded(inputs, name, calls)
        rows = max([len(array) for array in inputs.values()])
        if rows <= size:
            return _checked(self._guarded(inputs, name, calls), rows)
        pieces = []
        for at in range(0, rows, size):
            if at:
                yield
            part = {one: array[at : at + size] for one, array in inputs.items()}
            pieces.append(self._guarded(part, name, calls))
        return _checked(_merged(pieces), rows)

    def _guarded(self, inputs: Tensors, signature: str, calls: Sequence[Call]) -> Outputs:
        self._guard.begin(calls)
        try:
            return self._model.run(inputs, signature)
        finally:
            self._guard.end()


_Pieces = Generator[None, None, None]


def _checked(outputs: Outputs, rows: int) -> Outputs:
    for name, array in outputs.items():
        if array.ndim == 0 or len(array) != rows:
            raise ValueError(f"{name!r} has shape {list(array.shape)} for {rows} rows of input")
    return outputs


def _merged(parts: Sequence[Tensors]) -> Outputs:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _share_out(prepared: Sequence[tuple[int, Call, Tensors]], outputs: Outputs, results: list[Any]) -> None:
    start = 0
    single = next(iter(outputs)) if len(outputs) == 1 else None
    for position, call, _ in prepared:
        end = start + call.rows
        if single is not None:
            own = {single: outputs[single][start:end]}
        else:
            own = {name: array[start:end] for name, array in outputs.items()}
        results[position] = _encoded(call, own)
        start = end


def _encoded(call: Call, outputs: Outputs) -> Any:
    try:
        return call.answer(outputs)
    except Exception as error:
        return _refused(error)


def _refused(error: Exception) -> Exception:
    if not isinstance(error, ArgosyError):
        traceback.print_exc()
    return error


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201
