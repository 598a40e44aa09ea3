"""A large request, taken apart while it comes."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.errors import InvalidInput, TooLarge
from argosy.serve.router.splitting import SplitLimits, Splitter

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(['"', "\\", '\\"', "[", "]}", ',{"', "\u2028", "é", "𝄞"])
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)
PIXELS = st.integers(1, 12).map(lambda size: [[[value % 256] for value in range(size * 7)]] * size)
SPACES = st.sampled_from(["", " ", "\n\t ", " " * 500])
OTHERS = st.dictionaries(st.text(min_size=1).filter(lambda key: key != "instances"), VALUES, max_size=3)


@st.composite
def documents(draw: st.DrawFn) -> tuple[bytes, list[Any], dict[str, Any]]:
    """The text of a request, its instances and its other keys, in any order."""
    instances = draw(st.lists(VALUES | PIXELS, min_size=1, max_size=8))
    others = draw(OTHERS)
    ascii_only = draw(st.booleans())
    space = draw(SPACES)

    def text(value: Any) -> str:
        return json.dumps(value, ensure_ascii=ascii_only)

    items = f"{space},{space}".join(text(one) for one in instances)
    pairs = [(key, text(value)) for key, value in others.items()]
    pairs.insert(draw(st.integers(0, len(pairs))), ("instances", f"[{space}{items}{space}]"))
    inside = f"{space},{space}".join(f"{text(key)}{space}:{space}{value}" for key, value in pairs)
    whole = f"{space}{{{space}{inside}{space}}}{space}".encode(errors="surrogatepass")
    return whole, instances, others


def pieces(text: bytes, sizes: list[int]) -> list[bytes]:
    cut, at = [], 0
    while at < len(text):
        size = sizes[len(cut) % len(sizes)]
        cut.append(text[at : at + size])
        at += size
    return cut


def split(parts: list[bytes], limits: SplitLimits | None = None) -> tuple[list[bytes], Splitter]:
    splitter = Splitter(limits)
    found = [raw for part in parts for raw in splitter.feed(part)]
    splitter.finish()
    return found, splitter


@settings(deadline=None, max_examples=300)
@given(documents(), st.lists(st.integers(1, 40) | st.integers(100, 3000), min_size=1, max_size=5))
def test_the_instances_are_those_json_reads_however_the_request_is_cut(
    document: tuple[bytes, list[Any], dict[str, Any]], sizes: list[int]
) -> None:
    text, instances, others = document
    found, splitter = split(pieces(text, sizes))
    assert [json.loads(raw) for raw in found] == instances
    assert {key: json.loads(raw) for key, raw in splitter.others.items()} == others
    assert splitter.count == len(instances)


@settings(deadline=None, max_examples=300)
@given(documents(), st.data())
def test_a_damaged_request_is_refused_or_read_as_json_reads_it(
    document: tuple[bytes, list[Any], dict[str, Any]], data: st.DataObject
) -> None:
    text = bytearray(document[0])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        if data.draw(st.booleans()):
            del text[at]
        else:
            text[at] = data.draw(st.sampled_from(b'[]{},":\\ 1x\x00\xff'))
        if not text:
            return
    size = data.draw(st.integers(1, 200))
    try:
        found, splitter = split(pieces(bytes(text), [size]))
    except InvalidInput:
        return
    read = json.loads(bytes(text).decode())
    assert [json.loads(raw) for raw in found] == read.get("instances", [])
    assert splitter.others.keys() | ({"instances"} if splitter.has_instances else set()) == read.keys()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "the request has no body"),
        (b"[1]", "the request is a list, expected an object"),
        (b"nonsense", "the request is null"),
        (b'{"instances": {"a": 1}}', "'instances' is an object, expected a list"),
        (b'{"instances": []}', "'instances' is an empty list"),
        (b'{"instances": [1, 2', "the request ends in instances[1], at byte 19"),
        (b'{"instances": [1,, 2]}', "in instances[1], at byte 17: ',' where a value was expected"),
        (b'{"instances": [1, 2, ]}', "in instances[2], at byte 21: ']' where a value was expected"),
        (b'{"instances": [1, tru]}', "malformed JSON in instances[1], at byte 21"),
        (b'{"instances": [1, [1}, 2]}', "malformed JSON in instances[1]"),
        (b'{"instances": [1}', "'}' where ']' was expected"),
        (b'{"instances": [1], "instances": [2]}', "a second 'instances'"),
        (b'{"instances": [NaN]}', "in instances[0]"),
        (b'{"instances": ["\xff"]}', "in instances[0], at byte 15: str is not valid UTF-8"),
        (b'{"instances": [1]} x', "at byte 19: something after the end"),
        (b'{"instances" [1]}', "'[' where ':' was expected"),
        (b'{"a": 1, }', "'}' where a key in double quotes was expected"),
        (b'{"a": }', "'}' where a value was expected"),
        (b'{"a": 1] ', "malformed JSON"),
        (b'{"instances": [1, ' + b"[" * 99999 + b"]" * 99999 + b"]}", "malformed JSON in instances[1]"),
        (b'{"' + b'\\"' * 999 + b'": 1}', "a key of more than 1024 bytes"),
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
def test_a_fault_is_told_with_its_instance_and_its_byte(text: bytes, words: str, size: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        split(pieces(text, [size]))
    assert words in caught.value.message


def test_an_instance_over_the_limit_is_refused_before_it_is_whole() -> None:
    splitter = Splitter(SplitLimits(instance_bytes=1000))
    splitter.feed(b'{"instances": [1, "' + b"x" * 900)
    with pytest.raises(TooLarge) as caught:
        splitter.feed(b"x" * 100)
    assert "instances[1] holds 1001 bytes or more, at most 1000" in caught.value.message


def test_other_keys_together_are_limited() -> None:
    splitter = Splitter(SplitLimits(other_bytes=1000))
    with pytest.raises(TooLarge) as caught:
        splitter.feed(b'{"a": "' + b"x" * 600 + b'", "b": "' + b"x" * 600)
    assert "'b' (with what is before it)" in caught.value.message


def test_very_many_keys_are_limited_too() -> None:
    splitter = Splitter(SplitLimits(other_bytes=10_000))
    with pytest.raises(TooLarge):
        splitter.feed(b"{" + b"".join(b'"%d":1,' % number for number in range(100)))


def test_white_space_is_not_kept() -> None:
    splitter = Splitter(SplitLimits(instance_bytes=1000))
    found = []
    for part in (b"{", b'"instances"', b":", b"[", b'"a",', b'"b"', b"]", b"}"):
        found += splitter.feed(part)
        if part != b'"b"':
            for _ in range(50):
                found += splitter.feed(b" \t\r\n" * 10)
    splitter.finish()
    assert found == [b'"a"', b'"b"']


def test_a_large_string_is_looked_at_once() -> None:
    image = base64.b64encode(bytes(3_000_000))
    text = b'{"instances": [{"b64": "' + image + b'"}, {"b64": "QQ=="}]}'
    found, _ = split(pieces(text, [4096]))
    assert [len(raw) for raw in found] == [len(image) + 11, 15]
