"""Merging what the members of an ensemble answered: pure functions over arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Floats = NDArray[np.float32]

# float64[members, ...] and float64[members] to float32[...].
Merge = Callable[[Values, Values], Floats]


def mean(members: Values, weights: Values) -> Floats:
    """The average of the members' numbers; ``weights`` are not looked at."""
    return np.asarray(members.mean(axis=0), np.float32)


def weighted_mean(members: Values, weights: Values) -> Floats:
    """The average by ``weights``, of which only the proportions count."""
    # Divided by the largest first: neither tiny nor huge weights lose their proportions in the sum.
    shares = weights / weights.max()
    return np.asarray(np.tensordot(shares / shares.sum(), members, axes=1), np.float32)


def majority_vote(members: Values, weights: Values) -> Floats:
    """Each class's share of the votes, float32[..., classes]: every member votes for its best class.

    The best class of the answer is the winner: where classes tie for the most votes, the one with the highest
    mean probability keeps its share, and the others are one unit in the last place lower. A member votes for
    the first of its equals, and not at all where it has no number. The order of members plays no part.
    """
    votes = _votes(members)
    # Sorted, so that the sum is the same whatever the order of the members.
    means = np.sort(np.nan_to_num(members, nan=0.0), axis=0).mean(axis=0)
    most = votes.max(axis=-1, keepdims=True)
    tied = votes == most
    winner = np.where(tied, means, -np.inf).argmax(axis=-1)[..., np.newaxis]
    loses = tied & (np.arange(votes.shape[-1]) != winner)
    shares = np.asarray(votes / len(members), np.float32)
    return np.where(loses, np.nextafter(shares, np.float32(-1)), shares)


def _votes(members: Values) -> Values:
    best = np.nan_to_num(members, nan=-np.inf).argmax(axis=-1)[..., np.newaxis]
    there = ~np.isnan(members).all(axis=-1, keepdims=True)
    chosen = (np.arange(members.shape[-1]) == best) & there
    return np.asarray(chosen.sum(axis=0), np.float64)


# With "function", which is a user's, these are :data:`argosy.flow.service_rules.AGGREGATES`.
MERGES: Mapping[str, Merge] = {"mean": mean, "weighted_mean": weighted_mean, "majority_vote": majority_vote}
