"""Whether a revision may take the place of the one that serves, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

# What training reports of a model, the one that says most first.
_METRICS = ("validation_accuracy", "accuracy")


class Evaluation(msgspec.Struct, frozen=True):
    """``rows`` images asked of what serves and of the candidate: how many each had right, and how many they
    answered alike."""

    rows: int
    serving_right: int
    candidate_right: int
    agreed: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """``reason`` says both figures in a sentence."""

    promote: bool
    reason: str


def judge(evaluation: Evaluation, serving: int, candidate: int, margin: float) -> Verdict:
    """Promote revision ``candidate`` unless its accuracy is more than ``margin`` below that of the other."""
    rows = evaluation.rows
    before, after = evaluation.serving_right / rows, evaluation.candidate_right / rows
    counts = f"{evaluation.candidate_right:,} and {evaluation.serving_right:,} of {rows:,} right"
    figures = (
        f"accuracy {after:.4f} of revision {candidate} beside {before:.4f} of revision {serving} on the "
        f"validation split ({counts}, the same answer to {evaluation.agreed / rows:.1%})"
    )
    return _verdict(before, after, margin, figures)


def judge_recorded(
    serving: Mapping[str, float], candidate: Mapping[str, float], margin: float
) -> Verdict | None:
    """As :func:`judge`, by what training measured of both; None when there is nothing that both have."""
    for name in _METRICS:
        if name in serving and name in candidate:
            before, after = serving[name], candidate[name]
            return _verdict(
                before, after, margin, f"recorded {name} {after:.4f} beside {before:.4f} of what serves"
            )
    return None


def _verdict(before: float, after: float, margin: float, figures: str) -> Verdict:
    # A NaN is no better than anything.
    if after >= before - margin:
        return Verdict(True, figures)
    return Verdict(False, f"{figures}: worse by {before - after:.4f}, and at most {margin:g} is allowed")
