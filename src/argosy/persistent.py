"""A mapping that never changes: an edited copy shares almost everything with the one it came from."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, Mapping
from math import isqrt
from typing import Any, TypeVar, cast

K = TypeVar("K")
V = TypeVar("V")

_GONE: Any = object()
# Below this many edits a copy costs less than the square root would save.
_FEW = 32


class PersistentMap(Mapping[K, V]):
    """Look-up in O(1), an edited copy in O(√n) on average; keys keep the order they came in.

    A dictionary that is shared by all copies lies under the few edits that are this copy's own. What is
    kept is never changed, so an old copy stays what it was however many newer ones there are.
    """

    __slots__ = ("_base", "_edits", "_size")

    def __init__(self, items: Mapping[K, V] | None = None):
        self._base: dict[K, V] = dict(items or {})
        self._edits: dict[K, V] = {}
        self._size = len(self._base)

    def __getitem__(self, key: K) -> V:
        value = self._edits.get(key)
        if value is None:
            return self._base[key]
        if value is _GONE:
            raise KeyError(key)
        return value

    def get(self, key: K, default: Any = None) -> Any:
        value = self._edits.get(key)
        if value is None:
            return self._base.get(key, default)
        return default if value is _GONE else value

    def __contains__(self, key: object) -> bool:
        value = self._edits.get(cast(K, key))
        return key in self._base if value is None else value is not _GONE

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[K]:
        return iter(self._whole())

    def items(self) -> ItemsView[K, V]:
        return self._whole().items()

    def __repr__(self) -> str:
        return f"PersistentMap({self._whole()!r})"

    def draft(self) -> Draft[K, V]:
        """A copy to edit, until :meth:`Draft.finish` makes a map of it."""
        return Draft(self)

    def with_item(self, key: K, value: V) -> PersistentMap[K, V]:
        draft = self.draft()
        draft[key] = value
        return draft.finish()

    def without(self, key: K) -> PersistentMap[K, V]:
        """Without ``key``; the same map when it is not there."""
        if key not in self:
            return self
        draft = self.draft()
        del draft[key]
        return draft.finish()

    def _whole(self) -> dict[K, V]:
        """All of it as one dictionary, which becomes the base: the next look does not merge again."""
        if self._edits:
            self._base, self._edits = _merged(self._base, self._edits), {}
        return self._base


class Draft(PersistentMap[K, V]):
    """A map under construction. Values are not None."""

    __slots__ = ()

    def __init__(self, origin: PersistentMap[K, V]):
        self._base = origin._base
        self._edits = dict(origin._edits)
        self._size = origin._size

    def __setitem__(self, key: K, value: V) -> None:
        if key not in self:
            self._size += 1
        self._edits[key] = value

    def __delitem__(self, key: K) -> None:
        if key not in self:
            raise KeyError(key)
        self._size -= 1
        self._edits[key] = _GONE

    def finish(self) -> PersistentMap[K, V]:
        """The map as it is now. The draft must not be edited afterwards."""
        if len(self._edits) > max(_FEW, isqrt(len(self._base))):
            self._whole()
        done: PersistentMap[K, V] = PersistentMap.__new__(PersistentMap)
        done._base, done._edits, done._size = self._base, self._edits, self._size
        return done


def _merged(base: dict[K, V], edits: dict[K, V]) -> dict[K, V]:
    whole = {**base, **edits}
    for key, value in edits.items():
        if value is _GONE:
            del whole[key]
    return whole
