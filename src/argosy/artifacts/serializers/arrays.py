"""NumPy arrays as ``.npy`` files, never with pickled objects inside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from argosy.artifacts.faults import mismatch
from argosy.artifacts.objects import Objects
from argosy.artifacts.reference import ArtifactReference
from argosy.artifacts.serializers.base import refuse
from argosy.artifacts.writing import Sink
from argosy.errors import InvalidRequest

if TYPE_CHECKING:
    import numpy


class NumpySerializer:
    """Arrays of numbers, texts, times and records of them. What is read is memory-mapped and read-only."""

    def put(self, value: object, objects: Objects) -> ArtifactReference:
        import numpy

        if isinstance(value, numpy.ma.MaskedArray):
            refuse(value, "a numpy array", "return array.filled(...) and array.mask as two results")
        if not isinstance(value, numpy.ndarray | numpy.generic):
            refuse(value, "a numpy array", "return numpy.asarray(...), or declare what the step returns")
        array = numpy.asarray(value)
        _refuse_unwritable(array.dtype)

        digest, size = objects.writer.put_stream(lambda sink: _write(sink, array))
        return ArtifactReference(digest, "numpy", size)

    def get(self, reference: ArtifactReference, objects: Objects) -> object:
        from numpy import asarray, ndarray
        from numpy.lib.format import open_memmap

        path = objects.reader.checked_file(reference)
        try:
            # The plain view of the map: a memmap's own subclass would spread into the step's arithmetic.
            return asarray(open_memmap(path, mode="r")).view(ndarray)
        except ValueError as error:
            raise mismatch(reference, path, "the format", "a .npy file without objects", str(error)) from None


def _write(sink: Sink, array: numpy.ndarray[Any, Any]) -> None:
    from numpy.lib.format import write_array

    file = cast(Any, sink)
    try:
        write_array(file, array, version=(1, 0), allow_pickle=False)
    except ValueError:
        # Field names beyond Latin-1, or a great many of them; nothing has been written yet.
        write_array(file, array, version=(3, 0), allow_pickle=False)


def _refuse_unwritable(dtype: numpy.dtype[Any]) -> None:
    import numpy

    if dtype.hasobject:
        raise InvalidRequest(
            f"the result is an array of Python objects (dtype {dtype})",
            hint="give it a dtype of numbers or fixed-size texts, or return a list",
            context={"dtype": str(dtype)},
        )
    try:
        written = numpy.lib.format.descr_to_dtype(numpy.lib.format.dtype_to_descr(dtype))
    except (TypeError, ValueError, UserWarning):
        written = None
    if written != dtype:
        raise InvalidRequest(
            f"arrays of dtype {dtype} can not be kept in a .npy file without loss",
            hint="convert it first, for example with array.astype('float32')",
            context={"dtype": str(dtype)},
        )
