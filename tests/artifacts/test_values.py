"""What goes in comes out: every serializer, for every value it takes."""

from __future__ import annotations

import datetime
import decimal
import pickle
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import msgspec
import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from argosy.artifacts.handles import Dataset, FileTree, Model
from argosy.artifacts.json_values import encode_json
from argosy.artifacts.reference import ArtifactReference, Inline, Many, Stored
from argosy.artifacts.store import ArtifactStore
from argosy.errors import CorruptArtifact, InvalidRequest

# Hypothesis makes many values in one test; they share a store.
SHARED = ArtifactStore(Path(tempfile.mkdtemp(prefix="argosy-test-")))


@pytest.fixture(scope="module", autouse=True)
def _remove_shared_store() -> Iterator[None]:
    yield
    shutil.rmtree(SHARED._objects.layout.root)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def stored(value: object) -> ArtifactReference:
    assert isinstance(value, Stored)
    return value.reference


@given(json_values)
@settings(deadline=None)
def test_a_json_value_comes_back_equal_and_of_equal_types(value: Any) -> None:
    read = SHARED.get(SHARED.put(value, "json"))
    assert repr(read) == repr(value) or read == value
    assert encode_json(read) == encode_json(value)


@given(st.dictionaries(st.text(), st.integers(), min_size=2))
@settings(deadline=None)
def test_the_order_of_keys_does_not_change_the_digest(value: dict[str, int]) -> None:
    turned = dict(reversed(value.items()))
    assert SHARED.put(value, "json") == SHARED.put(turned, "json")


def test_json_is_sorted_compact_utf_8() -> None:
    value = {"ü": [1.0, 1e16, -0.0, 10**30], "a": {"z": None, "b": True}, "t": (1, 2)}
    assert encode_json(value).decode() == '{"a":{"b":true,"z":null},"t":[1,2],"ü":[1.0,1e+16,-0.0,' + (
        "1000000000000000000000000000000]}"
    )


def cyclic() -> list[Any]:
    value: list[Any] = [1]
    value.append(value)
    return value


def deep() -> Any:
    value: Any = 1
    for _ in range(5000):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [1, 2, {3}]}, 'result["a"][2] is a `set`'),
        (float("nan"), "result is nan"),
        ({"loss": [0.5, float("-inf")]}, 'result["loss"][1] is -inf'),
        ({"x": {1: 2}}, 'result["x"] has the key 1, a `int`'),
        ({None: 1}, "result has the key None"),
        ([numpy.float32(1)], "result[0] is a `float32`"),
        (numpy.zeros(2), "result is a `ndarray`"),
        (b"x", "result is a `bytes`"),
        ([Path("x")], "result[0] is a `PosixPath`"),
        (datetime.datetime(2026, 1, 1), "result is a `datetime`"),
        (decimal.Decimal(1), "result is a `Decimal`"),
        ([Model("x")], "result[0] is a `Model`"),
        (["\ud800"], "result[0] is a text with a lone surrogate"),
        ({"\ud800": 1}, "result: the key is a text with a lone surrogate"),
        ([10**5000], "result[0] is an integer of too many digits"),
        (cyclic(), "result[1] contains itself"),
        (deep(), "is nested too deep"),
        (object(), "result is a `object`"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_json_is_refused_by_its_place_with_a_hint(
    store: ArtifactStore, root: Path, value: object, message: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        store.put(value, "json")
    assert message in caught.value.message
    assert caught.value.hint
    assert not root.exists()


def test_an_enum_of_texts_and_a_numpy_double_are_the_values_they_extend(store: ArtifactStore) -> None:
    assert store.get(store.put({"cause": msgspec.json.decode('"x"'), "n": numpy.float64(0.5)}, "json")) == {
        "cause": "x",
        "n": 0.5,
    }


@given(st.binary())
@settings(deadline=None)
def test_bytes_come_back_equal(value: bytes) -> None:
    assert SHARED.get(SHARED.put(value, "bytes")) == value


dtypes = st.one_of(
    arrays.scalar_dtypes(),
    arrays.unicode_string_dtypes(),
    arrays.byte_string_dtypes(),
    arrays.array_dtypes(),
)


@given(arrays.arrays(dtypes, arrays.array_shapes(min_dims=0, min_side=0)), st.booleans())
@settings(deadline=None)
def test_an_array_comes_back_equal_mapped_and_read_only(value: Any, fortran: bool) -> None:
    value = numpy.asfortranarray(value) if fortran and value.ndim else value
    read: Any = SHARED.get(SHARED.put(value, "numpy"))
    assert (type(read), read.dtype, read.shape) == (numpy.ndarray, value.dtype, value.shape)
    assert read.tobytes() == value.tobytes()
    assert not read.flags.writeable


def test_a_slice_of_an_array_is_stored_by_itself(store: ArtifactStore) -> None:
    whole = numpy.arange(10_000).reshape(100, 100)
    value = whole[::3, 1::2]
    assert numpy.array_equal(store.get(store.put(value, "numpy")), value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (numpy.array([object()]), "Python objects"),
        (numpy.array([(1, None)], dtype=[("a", "i4"), ("b", "O")]), "Python objects"),
        (numpy.zeros(2, ml_dtypes.bfloat16), "without loss"),
        (numpy.array(["a"], dtype=numpy.dtypes.StringDType()), "dtype"),
        (numpy.ma.masked_array([1, 2], [False, True]), "MaskedArray"),
        ([1, 2], "`list`, expected a numpy array"),
    ],
    ids=["objects", "object field", "bfloat16", "StringDType", "masked", "list"],
)
def test_an_array_that_a_npy_file_can_not_hold_is_refused(
    store: ArtifactStore, value: object, message: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        store.put(value, "numpy")
    assert message in caught.value.message
    assert caught.value.hint


class Opened:
    """A value whose unpickling would be seen."""

    seen = False

    def __reduce__(self) -> Any:
        return (setattr, (Opened, "seen", True))


def test_nothing_is_unpickled_unless_the_reference_says_pickle(store: ArtifactStore) -> None:
    data = pickle.dumps(Opened())
    reference = stored(store.put(data, "bytes"))
    assert store.get(Stored(reference)) == data
    for type in ("json", "numpy", "tree", "dataset", "model"):
        with pytest.raises(CorruptArtifact):
            store.get(Stored(msgspec.structs.replace(reference, type=type)))
    assert not Opened.seen


def test_pickle_takes_what_json_does_not(store: ArtifactStore) -> None:
    value = {1: {2, 3}, "path": Path("x")}
    assert store.get(store.put(value, "pickle")) == value
    with pytest.raises(InvalidRequest, match="can not be pickled"):
        store.put(lambda: 1, "pickle")
    gone = stored(store.put(b"cno_such_module\nName\n.", "bytes"))
    with pytest.raises(InvalidRequest, match=r"can not be unpickled.*no_such_module"):
        store.get(Stored(msgspec.structs.replace(gone, type="pickle")))


def test_a_list_is_stored_item_by_item(store: ArtifactStore, scratch: Path) -> None:
    models = []
    for name in ("a", "b"):
        (scratch / name).mkdir()
        (scratch / name / "model.onnx").write_text(name)
        models.append(Model(scratch / name, name))
    value = store.put(models, "list[model]")
    assert isinstance(value, Many)
    assert len(value.items) == 2
    assert [model.name for model in store.get(value)] == ["a", "b"]  # type: ignore[attr-defined]
    assert store.get(store.put([[1], [2, 3]], "list[list[json]]")) == [[1], [2, 3]]
    assert store.put([], "list[json]") == Many(())


def test_a_value_of_another_type_than_declared_is_refused(store: ArtifactStore, scratch: Path) -> None:
    for value, type in [
        (Dataset(scratch), "model"),
        (scratch, "tree"),
        ("text", "bytes"),
        (FileTree(scratch), "dataset"),
        ({"a": 1}, "list[json]"),
        (1, "parquet"),
    ]:
        with pytest.raises(InvalidRequest) as caught:
            store.put(value, type)
        assert caught.value.hint


def test_an_inline_value_is_decoded_and_a_list_of_values_is_read(store: ArtifactStore) -> None:
    inline = Inline(msgspec.Raw(b'{"a":[1,2.5]}'))
    assert store.get(inline) == {"a": [1, 2.5]}
    both = Many((inline, store.put_json("x")))
    assert store.get(both) == store.read_json(both) == [{"a": [1, 2.5]}, "x"]
    with pytest.raises(InvalidRequest, match="is not JSON"):
        store.read_json(store.put(b"1", "bytes"))


def test_values_of_equal_bytes_share_one_object(store: ArtifactStore, root: Path) -> None:
    first, second = stored(store.put(1, "json")), stored(store.put(b"1", "bytes"))
    assert first.digest == second.digest
    assert [path.name for path in root.rglob("*") if path.is_file()] == [first.digest]


def test_a_digest_from_outside_can_not_name_a_file_of_the_machine(store: ArtifactStore) -> None:
    for digest in ("../../../../etc/passwd", "", "A" * 64, "0" * 63 + "\n"):
        with pytest.raises(InvalidRequest):
            store.get(Stored(ArtifactReference(digest, "bytes", 1)))
        with pytest.raises(InvalidRequest):
            store.path(ArtifactReference(digest, "tree", 1))


def test_the_store_loads_no_numpy_until_an_array_comes() -> None:
    code = "import sys, argosy.artifacts.store; assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_missing_object_is_named(store: ArtifactStore) -> None:
    for type in ("json", "bytes", "numpy", "tree", "model", "pickle"):
        reference = ArtifactReference("ab" * 32, type, 3)
        assert not store.exists(reference)
        for read in (lambda ref: store.get(Stored(ref)), store.path, store.verify):
            with pytest.raises(CorruptArtifact, match=f"{type} artifact abababababab is missing") as caught:
                read(reference)
            assert caught.value.hint
            assert caught.value.context["digest"] == reference.digest
