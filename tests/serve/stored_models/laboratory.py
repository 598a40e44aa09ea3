"""A process that may start TensorFlow: makes, imports, loads and asks models for the tests, line by line."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def make(folder: str) -> None:
    import tensorflow_models

    tensorflow_models.make_all(Path(folder))


def bring_in(**payload: Any) -> list[str]:
    """What an import reports."""
    from argosy import reporting
    from argosy.serve.models.importing import main

    messages: list[str] = []

    def report(kind: str, body: Any) -> None:
        assert kind == "event"
        messages.append(body["message"])

    reporting.install(reporting.CurrentAttempt(report=report))
    main(payload)
    return messages


def ask(directory: str, inputs: dict[str, Any], signature: str = "serving_default") -> dict[str, Any]:
    """What is known of a loaded model, and its answer. Texts that start with ``hex:`` are bytes."""
    import numpy as np

    from argosy.serve.models.datatypes import numpy_dtype
    from argosy.serve.models.loading import load

    model = load(Path(directory))
    model.warm_up()
    given = {
        spec.name: np.array(_bytes(inputs[spec.name]), numpy_dtype(spec.datatype))
        for spec in model.signatures[signature].inputs
    }
    answer = model.run(given, signature)
    signatures = {
        name: {
            "batched": one.batched,
            "inputs": [[spec.name, spec.datatype, list(spec.shape)] for spec in one.inputs],
            "outputs": [[spec.name, spec.datatype, list(spec.shape)] for spec in one.outputs],
        }
        for name, one in model.signatures.items()
    }
    return {
        "platform": model.platform,
        "labels": model.labels,
        "signatures": signatures,
        "answer": {name: _texts(value.tolist()) for name, value in answer.items()},
    }


def keras_answer(file: str, inputs: dict[str, Any]) -> list[Any]:
    import numpy as np
    import tensorflow_models

    return tensorflow_models.keras_answer(
        Path(file), {name: np.array(one) for name, one in inputs.items()}
    )  # fmt: skip


def _bytes(value: Any) -> Any:
    if isinstance(value, list):
        return [_bytes(one) for one in value]
    if isinstance(value, str):
        return bytes.fromhex(value.removeprefix("hex:")) if value.startswith("hex:") else value.encode()
    return value


def _texts(value: Any) -> Any:
    if isinstance(value, list):
        return [_texts(one) for one in value]
    return value.decode() if isinstance(value, bytes) else value


def serve() -> None:
    """Answer each line of standard input on what standard output was."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.path.insert(0, str(Path(__file__).parent))
    functions = {"make": make, "bring_in": bring_in, "ask": ask, "keras_answer": keras_answer}
    for line in sys.stdin:
        name, arguments = json.loads(line)
        try:
            answer = {"value": functions[name](**arguments)}
        except Exception as error:
            text = getattr(error, "message", str(error))
            answer = {"error": type(error).__name__, "message": text, "hint": getattr(error, "hint", "")}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    serve()
