"""JSON values, bytes, and pickles where they are asked for by name."""

from __future__ import annotations

import pickle

import msgspec

from argosy.artifacts.faults import describe, mismatch
from argosy.artifacts.json_values import decode_json, encode_json
from argosy.artifacts.objects import Objects
from argosy.artifacts.reference import ArtifactReference
from argosy.artifacts.serializers.base import refuse
from argosy.errors import InvalidRequest


class JsonSerializer:
    """Canonical JSON; see :mod:`argosy.artifacts.json_values`."""

    def put(self, value: object, objects: Objects) -> ArtifactReference:
        digest, size = objects.writer.put_bytes(encode_json(value))
        return ArtifactReference(digest, "json", size)

    def get(self, reference: ArtifactReference, objects: Objects) -> object:
        data = objects.reader.read_bytes(reference)
        try:
            return decode_json(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise mismatch(reference, reference.digest, "the format", "JSON", str(error)) from None


class BytesSerializer:
    """``bytes``, ``bytearray`` and ``memoryview``, as they are."""

    def put(self, value: object, objects: Objects) -> ArtifactReference:
        if not isinstance(value, bytes | bytearray | memoryview):
            refuse(value, "bytes", "return bytes, or declare the type that the step returns")
        digest, size = objects.writer.put_bytes(bytes(value))
        return ArtifactReference(digest, "bytes", size)

    def get(self, reference: ArtifactReference, objects: Objects) -> object:
        return objects.reader.read_bytes(reference)


class PickleSerializer:
    """Any Python value. Loading one runs its code, so only references of type ``pickle`` come here."""

    def put(self, value: object, objects: Objects) -> ArtifactReference:
        try:
            data = pickle.dumps(value, protocol=5)
        except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
            raise InvalidRequest(
                f"the result, a `{type(value).__name__}`, can not be pickled: {error}",
                hint="return a value without open files, locks, lambdas or local classes",
            ) from error
        digest, size = objects.writer.put_bytes(data)
        return ArtifactReference(digest, "pickle", size)

    def get(self, reference: ArtifactReference, objects: Objects) -> object:
        data = objects.reader.read_bytes(reference)
        try:
            return pickle.loads(data)
        except Exception as error:  # whatever the value's own code raises
            raise InvalidRequest(
                f"{describe(reference)} can not be unpickled: {type(error).__name__}: {error}",
                hint="keep the classes it is made of importable under the names they had when it was stored",
            ) from error
