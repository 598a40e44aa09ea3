"""Which candidates go on to be served, and why: by the validation split alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from argosy import reporting
from argosy.artifacts.handles import Model
from argosy.errors import InvalidRequest, RunFailed

METRIC = "validation_accuracy"


@dataclass(frozen=True, slots=True)
class Selection:
    """``chosen`` names the best first; ``reasons`` has a sentence for every candidate, best first."""

    chosen: tuple[str, ...]
    reasons: dict[str, str]


def choose(scores: Mapping[str, float | None], *, top: int, threshold: float) -> Selection:
    """The best ``top`` of the named scores that reach ``threshold``; ties go to the name that sorts first.

    A candidate whose score is None was not measured and is never chosen.
    """
    ranked = sorted(scores, key=lambda name: (-(scores[name] or 0.0), scores[name] is None, name))
    chosen: list[str] = []
    reasons = {}
    for place, name in enumerate(ranked, 1):
        score = scores[name]
        if score is None or score != score:
            reasons[name] = f"rejected: it has no {METRIC}"
        elif score < threshold:
            reasons[name] = f"rejected: {METRIC} {score:.4f} is below the threshold {threshold:.4f}"
        elif len(chosen) == top:
            reasons[name] = f"rejected: {METRIC} {score:.4f} is rank {place}, and the best {top} were wanted"
        else:
            reasons[name] = f"selected: {METRIC} {score:.4f} is rank {place}, at or above {threshold:.4f}"
            chosen.append(name)
    return Selection(tuple(chosen), reasons)


def select(candidates: Sequence[Model], *, top: int = 2, min_accuracy: float = 0.85) -> list[Model]:
    """The best ``top`` candidates by validation accuracy, best first, of those that reach ``min_accuracy``.

    The reason for each candidate is printed and reported as an event. Raises RunFailed, with all reasons,
    when none is good enough; InvalidRequest for settings that can not be or two candidates of one name.
    """
    names = [model.name for model in candidates]
    if top < 1 or not 0 <= min_accuracy <= 1:
        raise InvalidRequest(
            f"the best {top} above {min_accuracy}; expected a number from 1 and an accuracy from 0 to 1"
        )
    if not candidates or len(set(names)) < len(names) or not all(names):
        raise InvalidRequest(
            f"the candidates are named {names}; expected at least one, each with a name of its own",
            hint="give each model a name: train.export(result, name=...)",
        )
    by_name = dict(zip(names, candidates, strict=True))
    scores = {name: model.metrics.get(METRIC) for name, model in by_name.items()}
    selection = choose(scores, top=top, threshold=min_accuracy)
    for name, reason in selection.reasons.items():
        print(f"{name}: {reason}", flush=True)  # noqa: T201 - the step's log is where people look
    reporting.current().report(
        "event",
        {
            "message": "; ".join(f"{name} {reason}" for name, reason in selection.reasons.items()),
            "kind": "selection",
            "chosen": list(selection.chosen),
            "reasons": selection.reasons,
        },
    )
    if not selection.chosen:
        raise RunFailed(
            "no candidate is good enough: " + "; ".join(f"{n} {r}" for n, r in selection.reasons.items()),
            hint="train for more epochs, or lower min_accuracy",
            context={"reasons": selection.reasons, "min_accuracy": min_accuracy},
        )
    return [by_name[name] for name in selection.chosen]
