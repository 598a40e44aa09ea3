"""A random order of any number of rows, in constant memory and from any position.

The order is a Feistel network over the next power of two, walked until it lands inside the range
("cycle walking"), so it is a bijection for every key by construction, whatever the round function is, and
both directions cost the same for a row of ten or of ten billion. A shuffled index array would need eight
bytes a row for each epoch; a shuffle of shards only mixes neighbours.

Sources: M. Luby, C. Rackoff, *How to construct pseudorandom permutations from pseudorandom functions* (1988);
J. Black, P. Rogaway, *Ciphers with arbitrary finite domains* (CT-RSA 2002), the cycle-walking cipher. The
round function is the finalizer of SplitMix64 (G. Steele et al., OOPSLA 2014).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from argosy.errors import InvalidRequest

_ROUNDS = 8
_MULTIPLIER_1 = np.uint64(0xBF58476D1CE4E5B9)
_MULTIPLIER_2 = np.uint64(0x94D049BB133111EB)
_SHIFT_1, _SHIFT_2, _SHIFT_3 = np.uint64(30), np.uint64(27), np.uint64(31)

Indices = npt.NDArray[np.int64]
_Words = npt.NDArray[np.uint64]


class Permutation:
    """A bijection of ``0 .. rows-1`` chosen by ``key``: any integers and texts.

    ``permutation(positions)`` maps int64[n] positions to int64[n] rows; :meth:`inverse` maps them back.
    Equal keys give equal orders on every machine.
    """

    __slots__ = ("_keys", "_left_bits", "_right_bits", "rows")

    def __init__(self, rows: int, key: tuple[int | str, ...]):
        if not 0 < rows < 2**62:
            raise InvalidRequest(
                f"a permutation of {rows} rows; expected 1 to 2**62", hint="give a dataset that is not empty"
            )
        self.rows = rows
        bits = max(2, (rows - 1).bit_length())
        self._left_bits, self._right_bits = bits // 2, bits - bits // 2
        digest = hashlib.blake2b(repr((rows, *key)).encode(), digest_size=8 * _ROUNDS).digest()
        self._keys = np.frombuffer(digest, "<u8").astype(np.uint64)

    def __call__(self, positions: npt.ArrayLike) -> Indices:
        return self._walk(positions, self._encrypt)

    def inverse(self, rows: npt.ArrayLike) -> Indices:
        """The positions at which ``rows`` come."""
        return self._walk(rows, self._decrypt)

    def _walk(self, values: npt.ArrayLike, turn: Callable[[_Words], _Words]) -> Indices:
        given = np.asarray(values, np.int64)
        if given.size and (int(given.min()) < 0 or int(given.max()) >= self.rows):
            raise IndexError(f"an index outside 0 .. {self.rows - 1}")
        result = turn(given.astype(np.uint64))
        limit = np.uint64(self.rows)
        while (outside := result >= limit).any():
            result[outside] = turn(result[outside])
        return result.astype(np.int64)

    def _encrypt(self, words: _Words) -> _Words:
        left, right, left_bits, right_bits = self._split(words)
        for key in self._keys:
            # The halves differ in width by at most a bit and change places, and widths, each round.
            left, right = right, left ^ (_mix(right ^ key) & _mask(left_bits))
            left_bits, right_bits = right_bits, left_bits
        return (left << np.uint64(right_bits)) | right

    def _decrypt(self, words: _Words) -> _Words:
        left, right, left_bits, right_bits = self._split(words)
        for key in self._keys[::-1]:
            left, right = right ^ (_mix(left ^ key) & _mask(right_bits)), left
            left_bits, right_bits = right_bits, left_bits
        return (left << np.uint64(right_bits)) | right

    def _split(self, words: _Words) -> tuple[_Words, _Words, int, int]:
        left = words >> np.uint64(self._right_bits)
        return left, words & _mask(self._right_bits), self._left_bits, self._right_bits


def _mask(bits: int) -> np.uint64:
    return np.uint64((1 << bits) - 1)


def _mix(words: _Words) -> _Words:
    words = (words ^ (words >> _SHIFT_1)) * _MULTIPLIER_1
    words = (words ^ (words >> _SHIFT_2)) * _MULTIPLIER_2
    result: _Words = words ^ (words >> _SHIFT_3)
    return result
