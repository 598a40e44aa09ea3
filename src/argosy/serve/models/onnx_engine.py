"""Models that ONNX Runtime runs, on one thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from argosy.data.preprocessing import ImagePreprocessing
from argosy.errors import InvalidInput
from argosy.serve.models import companions, datatypes, protobuf, warming
from argosy.serve.models.model import DEFAULT_SIGNATURE, Signature, Tensors, TensorSpec

Outputs = dict[str, NDArray[Any]]
_Runner = Callable[[Tensors, Sequence[str]], Outputs]


class OnnxModel:
    """One session for each signature. Strings are objects of type ``bytes``, in and out."""

    platform = "onnxruntime_onnx"

    def __init__(
        self,
        files: Mapping[str, Path],
        preprocessing: ImagePreprocessing | None = None,
        labels: tuple[str, ...] = (),
    ) -> None:
        """``files`` by signature, the default one among them. Raises InvalidInput naming what is at fault."""
        self.preprocessing = preprocessing
        self.labels = labels
        opened = {file: open_session(file) for file in set(files.values())}
        sessions = {name: opened[file] for name, file in files.items()}
        self.signatures: Mapping[str, Signature] = {
            name: _signature(session, files[name]) for name, session in sessions.items()
        }
        self._runners = {name: _runner(session, self.signatures[name]) for name, session in sessions.items()}
        default = self.signatures[DEFAULT_SIGNATURE]
        companions.check_labels(labels, default)
        arrange = companions.arrangement(preprocessing, default)
        if arrange is not None:
            self._runners[DEFAULT_SIGNATURE] = _arranged(self._runners[DEFAULT_SIGNATURE], arrange)

    def run(self, inputs: Tensors, signature: str, outputs: Sequence[str] = ()) -> Outputs:
        return self._runners[signature](inputs, outputs)

    def warm_up(self) -> None:
        self.signatures = warming.proven(self.signatures, self.run, self.preprocessing)


def open_session(file: Path) -> Any:
    """ONNX Runtime on one thread. Raises InvalidInput that says why the file can not be run."""
    import onnxruntime

    if not file.is_file():
        raise InvalidInput(f"the model has no {file.name} ({file})", hint="export the model again")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has no public base class for its errors.
        fault = protobuf.fault_of(file)
        if fault:
            raise InvalidInput(f"{file} is not a whole ONNX file: {fault}", hint="copy it again") from None
        raise InvalidInput(
            f"{file} is not a model ONNX Runtime can load: {warming.cause(error)}",
            hint=f"ONNX Runtime {onnxruntime.__version__} must know every operator: export it with an "
            "operator set it supports",
        ) from None


def _signature(session: Any, file: Path) -> Signature:
    inputs = tuple(_spec(one, "input", file) for one in session.get_inputs())
    outputs = tuple(_spec(one, "output", file) for one in session.get_outputs())
    specs = (*inputs, *outputs)
    return Signature(inputs, outputs, bool(inputs) and all(spec.shape[:1] == (-1,) for spec in specs))


def _spec(value: Any, role: str, file: Path) -> TensorSpec:
    datatype = datatypes.from_onnx(value.type)
    if datatype is None:
        raise InvalidInput(
            f"{role} {value.name!r} of {file} is a {value.type}; expected a tensor of numbers or texts",
            hint="export it without what makes maps or sequences (scikit-learn: options={'zipmap': False})",
        )
    shape = tuple(size if isinstance(size, int) and size >= 0 else -1 for size in value.shape)
    return TensorSpec(value.name, datatype, shape)


def _runner(session: Any, signature: Signature) -> _Runner:
    every = [spec.name for spec in signature.outputs]
    texts_in = [spec.name for spec in signature.inputs if spec.datatype == datatypes.BYTES]
    texts_out = {spec.name for spec in signature.outputs if spec.datatype == datatypes.BYTES}

    def run(inputs: Tensors, outputs: Sequence[str]) -> Outputs:
        names = list(outputs) if outputs else every
        return dict(zip(names, session.run(names, inputs), strict=True))

    def run_texts(inputs: Tensors, outputs: Sequence[str]) -> Outputs:
        given = {**inputs, **{name: datatypes.as_texts(inputs[name], name) for name in texts_in}}
        answer = run(given, outputs)
        return {
            name: datatypes.as_bytes(value) if name in texts_out else value for name, value in answer.items()
        }

    return run_texts if texts_in or texts_out else run


def _arranged(run: _Runner, arrange: Callable[[NDArray[Any]], NDArray[Any]]) -> _Runner:
    def arranged(inputs: Tensors, outputs: Sequence[str]) -> Outputs:
        return run({name: arrange(value) for name, value in inputs.items()}, outputs)

    return arranged
