"""The first answers of a model: that it gives one, and whether its rows may be mixed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from argosy.data.preprocessing import ImagePreprocessing
from argosy.errors import InvalidInput
from argosy.serve.models import made_up
from argosy.serve.models.model import DEFAULT_SIGNATURE, Signature, Tensors

Outputs = dict[str, NDArray[Any]]
Run = Callable[[Tensors, str], Outputs]

TOLERANCE = 1e-4
HALF_TOLERANCE = 1e-2
_ROWS = 3


def proven(
    signatures: Mapping[str, Signature], run: Run, preprocessing: ImagePreprocessing | None
) -> dict[str, Signature]:
    """The signatures as their first answers show them to be.

    ``batched`` stays only where rows together are answered like each by itself. Raises InvalidInput when
    the default signature gives no answer, or one to a blank image that is not of finite numbers.
    """
    result = {}
    for name, signature in signatures.items():
        answer = _first_answer(name, signature, run)
        if answer is None:
            result[name] = replace(signature, batched=False)
            continue
        if name == DEFAULT_SIGNATURE and preprocessing is not None:
            _check_finite(answer)
        shaped = _with_found_shapes(signature, answer)
        batched = _has_rows(shaped) and _rows_are_independent(name, shaped, run)
        result[name] = replace(shaped, batched=batched)
    return result


def alike(found: NDArray[Any], expected: NDArray[Any]) -> bool:
    """Whether two answers are the same: numbers within 1e-4 of the largest, or of 1 where all are smaller.

    Numbers of half precision within 1e-2.
    """
    if found.shape != expected.shape:
        return False
    if expected.dtype.kind != "f":
        return bool((found == expected).all())
    tolerance = HALF_TOLERANCE if expected.dtype == np.float16 else TOLERANCE
    finite = np.abs(expected[np.isfinite(expected)], dtype=np.float64)
    largest = max(1.0, float(finite.max(initial=0.0)))
    return bool(np.allclose(found, expected, rtol=0, atol=tolerance * largest, equal_nan=True))


def cause(error: BaseException) -> str:
    """What a library said, in one line and without its codes."""
    text = str(error).strip() or type(error).__name__
    line = " ".join(text.splitlines()[0].split())
    if line.startswith("[ONNXRuntimeError]"):
        line = line.split(" : ", 3)[-1]
    return line if len(line) <= 400 else f"{line[:400]}..."


def _first_answer(name: str, signature: Signature, run: Run) -> Outputs | None:
    """None where no input could be made up, or the signature is not the default one and fails."""
    failure: Exception = InvalidInput("it has no inputs")
    for inputs in made_up.zeros(signature, rows=1):
        try:
            return run(inputs, name)
        except Exception as error:
            failure = error
    if name == DEFAULT_SIGNATURE and not made_up.is_guessed(signature):
        raise InvalidInput(
            f"the model gives no answer for inputs of zeros: {cause(failure)}",
            hint="call the model with zeros where it was made, mend it, and export it again",
        )
    note = f"signature {name!r} is served unproven: no made-up input satisfies it ({cause(failure)})"
    print(note, file=sys.stderr, flush=True)  # noqa: T201
    return None


def _check_finite(answer: Outputs) -> None:
    for name, values in answer.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise InvalidInput(
                f"the model answered a blank image with {name!r} of shape {list(values.shape)} that holds "
                "NaN or infinity, expected finite numbers",
                hint="export the model again from weights that are finite",
            )


def _with_found_shapes(signature: Signature, answer: Outputs) -> Signature:
    """Outputs whose number of dimensions the model does not say get the number that was found."""
    outputs = tuple(
        replace(spec, shape=(-1,) * answer[spec.name].ndim)
        if answer[spec.name].ndim != len(spec.shape)
        else spec
        for spec in signature.outputs
    )
    return replace(signature, outputs=outputs)


def _has_rows(signature: Signature) -> bool:
    specs = (*signature.inputs, *signature.outputs)
    return bool(signature.inputs) and all(spec.shape[:1] == (-1,) for spec in specs)


def _rows_are_independent(name: str, signature: Signature, run: Run) -> bool:
    for inputs in made_up.random(signature, _ROWS):
        try:
            parts = [
                run({key: value[row : row + 1] for key, value in inputs.items()}, name)
                for row in range(_ROWS)
            ]
        except Exception:
            continue
        try:
            whole = run(inputs, name)
        except Exception:
            return False
        return all(_is_joined(whole[key], [part[key] for part in parts]) for key in whole)
    return False


def _is_joined(whole: NDArray[Any], parts: list[NDArray[Any]]) -> bool:
    if any(part.ndim == 0 or len(part) != 1 for part in parts):
        return False
    return alike(whole, np.concatenate(parts))
