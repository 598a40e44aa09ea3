"""What a user hands in as a model: which kind it is, which versions it has, and why some do not count.

Light: no library of models is imported. A folder of versions is TensorFlow Serving's: folders whose names are
numbers, each a SavedModel, a model directory of Argosy's, or a folder with one ``.onnx`` or ``.keras`` file.
"""

from __future__ import annotations

import enum
import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from argosy.clock import Clock, SystemClock
from argosy.errors import InvalidInput, NotFound
from argosy.serve.models import completeness, layout

# Whoever copies a version writes at least this often; one that rests so long is complete.
SETTLE_SECONDS = 1.0
# The clock of a file server may be ahead of ours.
_SKEW_SECONDS = 60.0
_LOOK_SECONDS = 0.1
_MODEL_FILES = (".onnx", ".keras")


class ModelKind(enum.StrEnum):
    ARGOSY = "argosy"  # a folder with model.onnx and what belongs to it, see layout.py
    SAVED_MODEL = "saved_model"
    KERAS = "keras"
    ONNX = "onnx"
    VERSIONS = "versions"  # a folder of numbered versions, each of a kind above


class ModelVersion(msgspec.Struct, frozen=True):
    """A version that can be imported. ``number`` is 0 where the model has no versions. ``fingerprint`` is
    another one as soon as any file's name, size or time of change is."""

    number: int
    path: str
    kind: ModelKind
    fingerprint: str


class RefusedVersion(msgspec.Struct, frozen=True):
    """A version that does not count, and why. ``changing``: it may count as soon as it is complete."""

    number: int
    path: str
    reason: str
    changing: bool = False


class ModelSource(msgspec.Struct, frozen=True):
    """``versions`` are those that can be imported, by number, the newest last; there is at least one."""

    path: str
    kind: ModelKind
    versions: tuple[ModelVersion, ...]
    refused: tuple[RefusedVersion, ...] = ()

    @property
    def newest(self) -> ModelVersion:
        return self.versions[-1]

    def version(self, number: int) -> ModelVersion:
        """The version of that number; 0 is the newest. Raises NotFound that says which there are."""
        if number == 0:
            return self.newest
        for version in self.versions:
            if version.number == number:
                return version
        for refused in self.refused:
            if refused.number == number:
                raise InvalidInput(f"version {number} of {self.path} can not be served: {refused.reason}")
        known = ", ".join(str(version.number) for version in self.versions)
        raise NotFound(f"{self.path} has no version {number}", hint=f"versions there: {known}")


def inspect(path: Path, *, patience_seconds: float = 3.0, clock: Clock | None = None) -> ModelSource:
    """What kind of model lies at ``path``, and its versions.

    Where the only versions are still being written it looks again for ``patience_seconds``. Raises
    InvalidInput for everything that is no model, or is one that can not be whole.
    """
    clock = clock or SystemClock()
    deadline = clock.monotonic() + patience_seconds
    while True:
        try:
            source, refused = _look(path, clock.now())
        except OSError as error:
            raise InvalidInput(
                f"{error.filename or path} can not be read: {error.strerror or error}",
                hint="give this user permission to read it",
            ) from None
        if source is not None:
            return source
        if not any(one.changing for one in refused) or clock.monotonic() >= deadline:
            raise _no_version(path, refused)
        time.sleep(_LOOK_SECONDS)


def fingerprint_of(path: Path) -> str:
    """Of the names, sizes and times of change of all files of a version. Raises OSError."""
    digest = hashlib.sha256()
    for name, status in sorted(_files(path)):
        digest.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _look(path: Path, now: float) -> tuple[ModelSource | None, list[RefusedVersion]]:
    """(what is there, why versions do not count): no source where no version counts."""
    found = _single(path)
    if found is not None:
        kind, at = found
        fault = completeness.fault_of(kind, at)
        if fault:
            raise InvalidInput(f"{at} can not be served: {fault}", hint="copy it again, whole")
        version = ModelVersion(0, str(at), kind, fingerprint_of(at))
        return ModelSource(str(path), kind, (version,)), []
    numbered = _numbered(path)
    if not numbered:
        raise _no_model(path)
    versions: dict[int, ModelVersion] = {}
    refused = []
    for folder in numbered:
        judged = _judge(folder, now, versions)
        if isinstance(judged, ModelVersion):
            versions[judged.number] = judged
        else:
            refused.append(judged)
    if not versions:
        return None, refused
    return ModelSource(str(path), ModelKind.VERSIONS, tuple(versions.values()), tuple(refused)), refused


def _single(path: Path) -> tuple[ModelKind, Path] | None:
    """(kind, the folder or file) of a model without versions."""
    if path.is_file():
        kinds = {".onnx": ModelKind.ONNX, ".keras": ModelKind.KERAS}
        if path.suffix.lower() not in kinds:
            raise _other_file(path)
        return kinds[path.suffix.lower()], path
    if not path.is_dir():
        fault = "is not a file or a folder" if path.exists() else "does not exist"
        raise InvalidInput(f"{path} {fault}; expected a model", hint="check the path")
    if (path / layout.ONNX).is_file() or (path / layout.SAVED_MODEL / layout.SAVED_MODEL_FILE).is_file():
        return ModelKind.ARGOSY, path
    if (path / layout.SAVED_MODEL_FILE).is_file():
        return ModelKind.SAVED_MODEL, path
    if (path / "saved_model.pbtxt").is_file():
        raise InvalidInput(
            f"{path} is a SavedModel in text form, which is not read", hint="save it without as_text=True"
        )
    files = [one for one in _entries(path) if one.suffix.lower() in _MODEL_FILES and one.is_file()]
    if _numbered(path):
        return None
    if len(files) > 1:
        names = ", ".join(file.name for file in files[:5])
        raise InvalidInput(f"{path} holds several models ({names})", hint="name one of the files")
    return _single(files[0]) if len(files) == 1 else None


def _judge(folder: Path, now: float, before: dict[int, ModelVersion]) -> ModelVersion | RefusedVersion:
    number = int(folder.name)
    if number == 0:
        return RefusedVersion(0, str(folder), "versions count from 1")
    if number in before:
        reason = f"{Path(before[number].path).name} is version {number} already"
        return RefusedVersion(number, str(folder), reason)
    try:
        # What is written to while it is looked at is judged by the time of the writing.
        age = now - max((status.st_ctime for _, status in _files(folder)), default=0.0)
        changing = -_SKEW_SECONDS < age < SETTLE_SECONDS
        found = _single(folder)
        fault = _nothing_in(folder) if found is None else completeness.fault_of(*found)
        if found is not None and not fault and not changing:
            return ModelVersion(number, str(found[1]), found[0], fingerprint_of(folder))
    except InvalidInput as error:
        return RefusedVersion(number, str(folder), error.message)
    except OSError as error:
        reason = f"{error.filename or folder} can not be read: {error.strerror or error}"
        return RefusedVersion(number, str(folder), reason)
    if fault:
        return RefusedVersion(number, str(folder), fault, changing)
    reason = f"it is still being written (a file changed {max(age, 0):.1f} s ago)"
    return RefusedVersion(number, str(folder), reason, changing=True)


def _nothing_in(folder: Path) -> str:
    names = [entry.name for entry in _entries(folder)][:5]
    what = f"it holds {', '.join(names)}" if names else "it is empty"
    return f"{what}; expected {layout.SAVED_MODEL_FILE}, {layout.ONNX} or one .keras file"


def _numbered(path: Path) -> list[Path]:
    """Folders whose names are numbers, the smallest first; all other names are passed over."""
    found = [one for one in _entries(path) if one.name.isascii() and one.name.isdigit() and one.is_dir()]
    return sorted(found, key=lambda one: (int(one.name), one.name))


def _entries(path: Path) -> list[Path]:
    return sorted(one for one in path.iterdir() if not one.name.startswith("."))


def _files(path: Path) -> Iterator[tuple[str, os.stat_result]]:
    if path.is_file():
        yield path.name, path.stat()
        return
    for folder, _, names in os.walk(path, onerror=_raise):
        for name in names:
            file = Path(folder, name)
            yield file.relative_to(path).as_posix(), file.stat()


def _raise(error: OSError) -> None:
    raise error


def _no_version(path: Path, refused: list[RefusedVersion]) -> InvalidInput:
    told = "; ".join(f"version {one.number}: {one.reason}" for one in refused[-5:])
    return InvalidInput(
        f"{path} has no version that can be served ({told})",
        hint="wait until it is copied" if any(one.changing for one in refused) else "copy it again, whole",
        context={"refused": {str(one.number): one.reason for one in refused}},
    )


def _no_model(path: Path) -> InvalidInput:
    names = [entry.name for entry in _entries(path)][:5]
    what = f"holds {', '.join(names)} and no model" if names else "is empty"
    return InvalidInput(
        f"{path} {what}; expected a model directory, numbered versions, a SavedModel, or one .keras or "
        ".onnx file",
        hint="name the folder that holds saved_model.pb, model.onnx or the folders 1, 2, ...",
    )


_OTHERS = {
    ".h5": "load it with Keras and save it as .keras",
    ".hdf5": "load it with Keras and save it as .keras",
    ".pb": "name the folder it lies in",
    ".pt": "export it with torch.onnx.export",
    ".pth": "export it with torch.onnx.export",
    ".tflite": "serve the model it was converted from",
    ".safetensors": "it holds weights without a model: export the model to ONNX",
    ".zip": "unpack it, and name the folder",
    ".gz": "unpack it, and name the folder",
    ".tar": "unpack it, and name the folder",
}


def _other_file(path: Path) -> InvalidInput:
    return InvalidInput(
        f"{path} is a file of another kind ({path.suffix or 'no suffix'}); expected .keras or .onnx",
        hint=_OTHERS.get(path.suffix.lower(), "export the model to ONNX, or save it with Keras"),
    )
