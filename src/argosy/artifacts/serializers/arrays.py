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

        def write(sink: Sink) -> None:
            numpy.lib.format.write_array(cast(Any, sink), array, allow_pickle=False)

        digest, size = objects.writer.put_stream(write)
        return ArtifactReference(digest, "numpy", size)

    def get(self, reference: ArtifactReference, objects: Objects) -> object:
        path = objects.reader.checked_file(reference)
        try:
            return _open_read_only(path)
        except ValueError as error:
            raise mismatch(reference, path, "the format", "a .npy file without objects", str(error)) from None


def _open_read_only(path: str) -> numpy.ndarray[Any, Any]:
    import numpy

    with open(path, "rb") as source:
        version = numpy.lib.format.read_magic(source)
        read_header = {
            (1, 0): numpy.lib.format.read_array_header_1_0,
            (2, 0): numpy.lib.format.read_array_header_2_0,
        }
        empty = version in read_header and 0 in read_header[version](source)[0]
        if empty:
            source.seek(0)
            array = numpy.lib.format.read_array(source, allow_pickle=False)
            array.setflags(write=False)
            return cast("numpy.ndarray[Any, Any]", array)
    # The plain view of the map: a memmap's own subclass would spread into the step's arithmetic.
    return numpy.asarray(numpy.lib.format.open_memmap(path, mode="r")).view(numpy.ndarray)


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
