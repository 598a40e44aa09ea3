"""From a run to rows: what is shown of many nodes, and what fits."""

from __future__ import annotations

import pytest

from argosy.api.views import AttemptView, NodeView, Progress, RunView
from argosy.cli.progress.plain import PlainProgress
from argosy.cli.progress.rows import Row, fitted, metric_parts, node_row, rows
from argosy.cli.progress.summary import cause_text, summary


def node(name: str, state: str = "waiting", step: str = "", **more: object) -> NodeView:
    return NodeView(name, step or name.partition("[")[0].rstrip("-0123456789"), "step", state, **more)  # type: ignore[arg-type]


def run(*nodes: NodeView, state: str = "running", reason: str = "") -> RunView:
    return RunView("r-1", "hello", state, 100.0, nodes=list(nodes), reason=reason)


def test_few_nodes_of_a_step_are_rows_of_their_own() -> None:
    assert [row.name for row in rows(run(node("train-1"), node("train-2")))] == ["train-1", "train-2"]


def test_many_nodes_of_a_step_are_one_row_at_the_place_of_the_first() -> None:
    many = [node(f"train-{index}", "running") for index in range(13)]
    shown = rows(run(node("ingest"), *many, node("select")))
    assert [(row.name, row.nodes) for row in shown] == [("ingest", 1), ("train ×13", 13), ("select", 1)]


def test_a_mapped_node_stands_beside_few_instances_and_is_folded_into_many() -> None:
    few = rows(run(node("train"), node("train[0]"), node("train[1]")))
    assert [row.name for row in few] == ["train", "train[0]", "train[1]"]
    many = rows(run(node("train"), *(node(f"train[{index}]") for index in range(20))))
    assert [(row.name, row.nodes) for row in many] == [("train ×20", 20)]


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        (["waiting"] * 13, "waiting"),
        (["succeeded"] + ["waiting"] * 12, "running"),
        (["failed"] + ["running"] * 12, "running"),
        (["failed"] + ["succeeded"] * 12, "failed"),
        (["cancelled"] + ["succeeded"] * 12, "cancelled"),
        (["cached"] * 12 + ["succeeded"], "succeeded"),
        (["cached"] * 13, "cached"),
        (["queued"] * 12 + ["succeeded"], "queued"),
    ],
)
def test_the_state_of_a_group_is_what_a_person_would_call_it(states: list[str], expected: str) -> None:
    (row,) = rows(run(*(node(f"train-{index}", state) for index, state in enumerate(states))))
    assert row.state == expected


def test_a_group_tells_its_counts_and_its_first_failure() -> None:
    states = ["failed", "failed", "running", "waiting"] + ["succeeded"] * 10
    nodes = [node(f"train-{i}", state, reason="boom\nmore") for i, state in enumerate(states)]
    assert rows(run(*nodes))[0].detail == ("2 failed · 1 running · 1 waiting · 10 done; train-0: boom")


def test_a_running_node_tells_how_far_it_is() -> None:
    metrics = {"lr": 0.1, "accuracy": 0.9123456, "examples_per_second": 1234.5, "loss": float("nan")}
    progress = Progress(epoch=3, step=1200, done=40, total=100, message="warming up", metrics=metrics)
    attempts = [AttemptView("a", 2, "running", 1)]
    assert node_row(node("train", "running", progress=progress, attempts=attempts)).detail == (
        "attempt 2 · epoch 3 · step 1,200 · 40/100 · warming up · loss nan · accuracy 0.9123 · "
        "1,234 examples/s · lr 0.1"
    )
    assert metric_parts({"loss": None}) == ["loss not a number"]


def test_what_matters_least_is_left_out_when_rows_do_not_fit() -> None:
    shown = [Row(str(i), state, "") for i, state in enumerate(["succeeded", "waiting", "failed", "running"])]
    assert fitted(shown, 4) == (shown, 0)
    assert [row.name for row in fitted(shown, 3)[0]] == ["2", "3"]
    assert fitted(shown, 3)[1] == 2
    assert len(fitted(shown, 1)[0]) == 1


def test_plain_progress_tells_a_change_once_and_a_group_once_a_second() -> None:
    said: list[str] = []
    now = [0.0]
    progress = PlainProgress(said.append, lambda: now[0], lambda: 107.5)
    group = [node(f"train-{index}", "running", started_at=100.0) for index in range(13)]
    for done in range(3):
        ended = [
            node(f"train-{index}", "succeeded", started_at=100.0, ended_at=101.0) for index in range(done)
        ]
        progress.update(run(*ended, *group[done:]))
        progress.update(run(*ended, *group[done:]))
    assert len(said) == 1
    now[0] = 1.0
    progress.update(run(*ended, *group[2:]))
    assert said[-1] == "   +7.5s  train ×13: running, 11 running · 2 done"


def test_plain_progress_tells_each_epoch_and_each_new_attempt() -> None:
    said: list[str] = []
    progress = PlainProgress(said.append, now=lambda: 101.0)
    for number, epoch in ((1, 1), (1, 1), (1, 2), (2, 1)):
        attempts = [AttemptView("a", number, "running", 1)]
        progress.update(run(node("train", "running", progress=Progress(epoch=epoch), attempts=attempts)))
    assert [line.strip() for line in said] == [
        "train: running, epoch 1",
        "+1.0s  train: running, epoch 2",
        "+1.0s  train: running, attempt 2 · epoch 1",
    ]


@pytest.mark.parametrize(
    ("cause", "message", "expected"),
    [
        ("error", "ValueError: no", "ValueError: no"),
        ("out_of_memory", "it held 2Gi of 1Gi", "out of memory: it held 2Gi of 1Gi"),
        ("timeout", "timeout after 3s", "timeout after 3s"),
        ("lost", "", "lost"),
        ("", "", "no reason was recorded"),
    ],
)
def test_a_cause_is_told_in_words(cause: str, message: str, expected: str) -> None:
    attempt = AttemptView("a", 1, "ended", 1, cause=cause, message=message)
    assert cause_text(node("train", "failed"), attempt) == expected


def test_a_summary_shows_a_few_failures_and_counts_the_rest() -> None:
    failed = [node(f"train[{index}]", "failed", reason="boom") for index in range(9)]
    lines = summary(run(node("train", "failed", reason="9 of 9 failed"), *failed, state="failed"))
    assert lines[0] == "run r-1 failed: 9 failed"
    assert sum("failed: boom" in line for line in lines) == 5
    assert lines[-1] == "... and 4 more; 'argosy show r-1' lists them"


def test_a_run_that_ended_without_a_failed_node_tells_the_runs_own_reason() -> None:
    cancelled = RunView("r-1", "hello", "cancelled", 100.0, 101.0, reason="cancelled by ada")
    assert summary(cancelled) == ["run r-1 cancelled in 1.0s: no steps", "reason: cancelled by ada"]


def test_a_run_that_is_held_up_says_why_once_and_when_it_goes_on() -> None:
    said: list[str] = []
    progress = PlainProgress(said.append)
    for reason in ("", "held up: the disk is full", "held up: the disk is full", ""):
        progress.update(run(node("a", "waiting"), reason=reason))
    assert said == ["the run is held up: the disk is full", "the run goes on"]
