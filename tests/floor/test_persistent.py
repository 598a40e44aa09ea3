"""The map that old copies of are never changed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.persistent import PersistentMap

EDITS = st.lists(st.tuples(st.sampled_from(["set", "drop", "look"]), st.integers(0, 60)), max_size=200)


@settings(max_examples=150, deadline=None)
@given(EDITS, st.integers(0, 80))
def test_it_does_what_a_dictionary_does_and_old_copies_stay(edits: list[tuple[str, int]], size: int) -> None:
    model: dict[int, Any] = dict.fromkeys(range(size), "start")
    current = PersistentMap(model)
    copies = [(current, dict(model))]
    for number, (what, key) in enumerate(edits):
        if what == "set":
            current, model = current.with_item(key, number), {**model, key: number}
        elif what == "drop":
            current = current.without(key)
            model = {k: v for k, v in model.items() if k != key}
        else:
            assert (list(current) and True) or not model
        assert (len(current), current.get(key, "none")) == (len(model), model.get(key, "none"))
        assert (key in current) == (key in model)
        copies.append((current, model))
    for copy, expected in copies:
        assert copy == expected
        assert dict(copy) == expected
        assert list(copy.values()) == [copy[key] for key in copy]


def test_new_keys_come_last_and_changed_ones_stay_where_they_are() -> None:
    found = PersistentMap({"a": 1, "b": 2}).with_item("c", 3).with_item("a", 4)
    assert list(found.items()) == [("a", 4), ("b", 2), ("c", 3)]


def test_a_missing_key_is_an_error() -> None:
    found = PersistentMap({"a": 1}).without("a")
    for key in ("a", "b"):
        with pytest.raises(KeyError):
            found[key]
    draft = found.draft()
    with pytest.raises(KeyError):
        del draft["a"]


def test_a_draft_is_read_while_it_is_written() -> None:
    origin = PersistentMap({"a": 1})
    draft = origin.draft()
    draft["b"] = 2
    del draft["a"]
    assert (list(draft), len(draft), draft.get("a")) == (["b"], 1, None)
    draft["a"] = 3
    assert dict(draft.finish()) == {"a": 3, "b": 2}
    assert dict(origin) == {"a": 1}
