"""Which models are served, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from argosy import Model, reporting, train
from argosy.errors import InvalidRequest, RunFailed

SCORES = {"cnn": 0.89, "dropout": 0.91, "batch_norm": 0.90}


def test_the_best_are_chosen_and_every_candidate_has_a_reason() -> None:
    selection = train.choose(SCORES, top=2, threshold=0.85)
    assert selection.chosen == ("dropout", "batch_norm")
    assert list(selection.reasons) == ["dropout", "batch_norm", "cnn"]
    assert selection.reasons["dropout"].startswith("selected: validation_accuracy 0.9100 is rank 1")
    assert selection.reasons["cnn"] == (
        "rejected: validation_accuracy 0.8900 is rank 3, and the best 2 were wanted"
    )


def test_a_score_below_the_threshold_is_not_chosen_though_there_is_room() -> None:
    selection = train.choose(SCORES, top=3, threshold=0.9)
    assert selection.chosen == ("dropout", "batch_norm")
    assert "below the threshold 0.9000" in selection.reasons["cnn"]


def test_ties_go_by_name_and_what_was_not_measured_is_never_chosen() -> None:
    scores = {"b": 0.9, "a": 0.9, "c": None, "d": float("nan")}
    selection = train.choose(scores, top=4, threshold=0.0)
    assert selection.chosen == ("a", "b")
    assert selection.reasons["c"] == selection.reasons["d"] == "rejected: it has no validation_accuracy"


def models(tmp_path: Path, **scores: float) -> list[Model]:
    return [
        Model(tmp_path / name, name=name, metrics={"validation_accuracy": score, "test_accuracy": 1 - score})
        for name, score in scores.items()
    ]


def test_models_come_back_best_first_and_the_reasons_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reports: list[tuple[str, Any]] = []
    reporting.install(reporting.CurrentAttempt(report=lambda kind, body: reports.append((kind, body))))
    try:
        chosen = train.select(models(tmp_path, **SCORES))
    finally:
        reporting.install(None)
    assert [model.name for model in chosen] == ["dropout", "batch_norm"]
    assert "cnn: rejected" in capsys.readouterr().out
    ((kind, body),) = reports
    assert kind == "event"
    assert body["chosen"] == ["dropout", "batch_norm"]
    assert body["reasons"]["cnn"].startswith("rejected")


def test_none_good_enough_is_an_error_with_every_reason(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="no candidate is good enough") as caught:
        train.select(models(tmp_path, **SCORES), min_accuracy=0.95)
    assert caught.value.message.count("below the threshold 0.9500") == 3


@pytest.mark.parametrize(
    "wrong", [{"top": 0}, {"min_accuracy": 1.5}, {"min_accuracy": float("nan")}], ids=str
)
def test_settings_that_can_not_be_are_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        train.select(models(tmp_path, **SCORES), **wrong)


def test_candidates_without_names_of_their_own_are_refused(tmp_path: Path) -> None:
    same = models(tmp_path, cnn=0.9) * 2
    for candidates in ([], same, [Model(tmp_path, metrics={"validation_accuracy": 0.9})]):
        with pytest.raises(InvalidRequest, match="a name of its own"):
            train.select(candidates)
