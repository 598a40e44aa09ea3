"""Models for services: stored ones by their digest, and files from outside, imported and stored."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import msgspec

from argosy import __version__
from argosy.artifacts.handles import Model, read_card
from argosy.artifacts.reference import ArtifactReference, Stored
from argosy.artifacts.store import ArtifactStore
from argosy.clock import Clock
from argosy.control.tasks import Say, Tasks
from argosy.errors import InvalidInput, InvalidRequest, NotFound
from argosy.home import Home
from argosy.metadata.records import ArtifactRecord
from argosy.metadata.store import MetadataStore
from argosy.serve.deployment import ModelReference
from argosy.serve.models import importing

ARTIFACT = "artifact:"
_SECONDS = 900.0
_REMEMBERED = 1_000
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model artifact."""

    name: str
    reference: ArtifactReference


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model outside the store: the newest version of what lies at ``path``."""

    path: Path
    newest: importing.ModelVersion

    @property
    def version(self) -> int:
        """The number of the version; 0 for a model that has none."""
        return self.newest.number

    @property
    def name(self) -> str:
        """What a model directory calls itself, or else what its file or folder is called."""
        card = read_card(Path(self.newest.path)) if Path(self.newest.path).is_dir() else {}
        return str(card.get("name") or (self.path.stem if self.path.is_file() else self.path.name)).lower()


class Described(msgspec.Struct, frozen=True):
    """What a model's own files do not say."""

    labels: tuple[str, ...] = ()
    preprocessing: dict[str, Any] = {}


class _Remembered(msgspec.Struct, frozen=True):
    name: str
    reference: ArtifactReference


class Importer:
    """Makes model references of what people name. Importing and storing never block the event loop."""

    def __init__(self, home: Home, store: MetadataStore, tasks: Tasks, clock: Clock) -> None:
        self._scratch = home.work / "imports"
        self._memory = home.root / "imports.json"
        self._store = store
        self._tasks = tasks
        self._clock = clock
        # What was imported lies in a folder of its own, which the store may take instead of copying.
        self._artifacts = ArtifactStore(home.artifacts, scratch=self._scratch)

    def start(self) -> None:
        """Remove what an earlier control plane left half imported."""
        shutil.rmtree(self._scratch, ignore_errors=True)

    async def find(self, model: str) -> StoredModel | ModelFiles:
        """What ``model`` names. Raises InvalidRequest, InvalidInput, NotFound."""
        if model.startswith(ARTIFACT):
            return await asyncio.to_thread(self._stored, model.removeprefix(ARTIFACT))
        path = Path(model)
        if not path.is_absolute() or "\0" in model:
            raise InvalidRequest(
                f"{model!r} is not an absolute path", hint=f"write it from /, or {ARTIFACT}DIGEST"
            )
        return await asyncio.to_thread(look_at, path)

    async def take(
        self, source: StoredModel | ModelFiles, described: Described, say: Say = lambda message: None
    ) -> ModelReference:
        """The stored model. The same files are imported once; ``say`` hears how that goes. Raises whatever is
        wrong with the model."""
        if isinstance(source, StoredModel):
            return ModelReference(source.name, source.reference)
        fingerprint = await asyncio.to_thread(_fingerprint, source, described)
        known = self._recall().get(fingerprint)
        if known is not None and self._artifacts.exists(known.reference):
            return ModelReference(known.name, known.reference)
        say(f"importing {title(source)}")
        destination = self._scratch / secrets.token_hex(6)
        destination.parent.mkdir(parents=True, exist_ok=True)
        try:
            payload = _payload(source, described, destination)
            await self._tasks.run("import", "argosy.serve.models.importing", "main", payload, _SECONDS, say)
            imported = await asyncio.to_thread(self._keep, source, destination)
        finally:
            await asyncio.to_thread(shutil.rmtree, destination, ignore_errors=True)
        self._remember(fingerprint, imported)
        return imported

    def _stored(self, prefix: str) -> StoredModel:
        found = self._store.artifacts(prefix, "model")
        if len(found) != 1:
            raise _not_one(prefix, [record.digest for record in found])
        reference = ArtifactReference(found[0].digest, "model", found[0].size)
        model = self._artifacts.get(Stored(reference))
        return StoredModel(cast(Model, model).name.lower(), reference)

    def _keep(self, source: ModelFiles, destination: Path) -> ModelReference:
        model = Model(destination)
        name = model.name.lower() or source.name
        stored = self._artifacts.put(model, "model")
        assert isinstance(stored, Stored)
        reference = stored.reference
        record = ArtifactRecord(reference.digest, "model", reference.size, self._clock.now(), "import")
        self._store.write([record])
        return ModelReference(name, reference)

    # Converting the same file twice may give other bytes; what is remembered keeps a deployment the same.

    def _recall(self) -> dict[str, _Remembered]:
        try:
            return msgspec.json.decode(self._memory.read_bytes(), type=dict[str, _Remembered])
        except (OSError, msgspec.MsgspecError):
            return {}

    def _remember(self, fingerprint: str, model: ModelReference) -> None:
        known = self._recall()
        known[fingerprint] = _Remembered(model.name, model.reference)
        newest = dict(list(known.items())[-_REMEMBERED:])
        write_whole(self._memory, msgspec.json.encode(newest))


def write_whole(path: Path, data: bytes) -> None:
    """Replace a file at once; a full disk keeps what was there."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def look_at(path: Path) -> ModelFiles:
    """What is at ``path``, by a look at its files. Raises NotFound, InvalidInput."""
    return ModelFiles(path, importing.inspect(path).versions[-1])


def title(source: ModelFiles) -> str:
    return f"{source.path}, version {source.version}" if source.version else str(source.path)


def _payload(source: ModelFiles, described: Described, destination: Path) -> dict[str, Any]:
    payload: dict[str, Any] = {
        "source": str(source.path),
        "version": source.version,
        "destination": str(destination),
        "name": source.name,
    }
    if described.labels:
        payload["labels"] = list(described.labels)
    if described.preprocessing:
        payload["preprocessing"] = described.preprocessing
    return payload


def _fingerprint(source: ModelFiles, described: Described) -> str:
    """A digest of everything that what is imported depends on. Raises InvalidInput for unreadable files."""
    newest = source.newest
    digest = hashlib.sha256(msgspec.json.encode((__version__, newest.kind, source.name, described)))
    root = Path(newest.path)
    try:
        for file in [root] if root.is_file() else sorted(path for path in root.rglob("*") if path.is_file()):
            _update(digest, file.relative_to(root).as_posix(), file.stat().st_size)
            for chunk in _chunks(file):
                digest.update(chunk)
        if root.is_file():
            # What lies beside a file may belong to it: its weights, its labels.
            for entry in sorted(os.scandir(root.parent), key=lambda entry: entry.name):
                if entry.is_file():
                    _update(digest, entry.name, entry.stat().st_mtime_ns)
    except OSError as error:
        raise InvalidInput(
            f"{error.filename or root} can not be read: {error.strerror}", hint="look at its permissions"
        ) from None
    return digest.hexdigest()


def _update(digest: hashlib._Hash, name: str, number: int) -> None:
    encoded = os.fsencode(name)
    digest.update(b"%d %s %d " % (len(encoded), encoded, number))


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            yield chunk


def _not_one(prefix: str, digests: list[str]) -> NotFound | InvalidRequest:
    if not digests:
        return NotFound(
            f"there is no model artifact {prefix!r}",
            hint="'argosy show RUN' prints the digests of the models a run made",
        )
    shown = ", ".join(digest[:16] for digest in digests[:5])
    return InvalidRequest(f"artifact {prefix!r} may be any of {shown}", hint="write more of the digest")
