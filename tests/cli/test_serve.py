"""argosy serve: what it asks for, what it shows, and everything it can find wrong before anything starts."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from argosy.cli.commands.serve import request_data
from argosy.cli.service_arguments import parse_limit
from argosy.cli.service_description import describe
from argosy.errors import InvalidRequest
from argosy.flow.service_options import (
    Access,
    Balancing,
    BalancingPolicy,
    Batching,
    Ensemble,
    Release,
    ReleaseMode,
    ScaleMetric,
    Scaling,
    ServiceOptions,
    Strategy,
    TierLimit,
)

from .conftest import Command


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with two models and a module of functions."""
    for name in ("model", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "cleaning.py").write_text("def drop(part):\n    return part\n\nclass Not: ...\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def problems(*models: str, **given: Any) -> dict[str, tuple[str, str]]:
    """What is wrong, by where: (message, hint)."""
    with pytest.raises(InvalidRequest) as caught:
        describe(models, {"name": "digits", **given})
    found = caught.value.context["problems"]
    return {problem["where"]: (problem["message"], problem["hint"]) for problem in found}


def test_every_option_of_the_command_line_arrives(folder: Path) -> None:
    request = describe(
        ["model", "other"],
        {
            "name": "digits",
            "replicas": "0:4",
            "strategy": "event",
            "metric": "cpu",
            "target": 80.0,
            "idle": "2m",
            "max_batch_size": 16,
            "max_wait": "5ms",
            "balancing": "ring_hash",
            "hash_header": "x-user",
            "limit": ("anonymous=2:4:100/1h", "signed-in=3"),
            "require_token": True,
            "canary": 10,
            "aggregate": "weighted_mean",
            "weights": "1,3",
            "user": "ada",
        },
    )
    assert request.models == [str(folder / "model"), str(folder / "other")]
    assert (request.name, request.replicas, request.user) == ("digits", (0, 4), "ada")
    assert request.options == ServiceOptions(
        strategy=Strategy.EVENT,
        scaling=Scaling(metric=ScaleMetric.CPU, target=80.0, idle_seconds=120.0),
        batching=Batching(max_batch_size=16, max_wait_seconds=0.005),
        balancing=Balancing(BalancingPolicy.RING_HASH, "x-user"),
        ensemble=Ensemble(weights=(1.0, 3.0)),
        access=Access(
            tiers={"anonymous": TierLimit(2, 4, 100, 3600.0), "signed-in": TierLimit(3)}, require_token=True
        ),
        release=Release(ReleaseMode.CANARY, 10),
    )


def test_a_file_says_the_same_and_the_command_line_counts_more(folder: Path) -> None:
    (folder / "conf").mkdir()
    (folder / "conf" / "tidy.py").write_text("def tidy(part):\n    return part\n")
    (folder / "conf" / "labels.txt").write_text("shirt\nboot\n")
    file = folder / "conf" / "service.yaml"
    file.write_text(
        "name: digits\nmodels: ../model\nreplicas: 1:4\nstrategy: sharded\nlabels: labels.txt\n"
        "sharding:\n  rows: 32\n  clean: tidy.py:tidy\n  body_bytes: 1Gi\n"
        "scaling: {metric: rps, stable_window_seconds: 30s}\n"
        "access:\n  tiers:\n    anonymous: {concurrency: 2}\n"
    )
    request = describe([], {"file": file, "metric": "memory", "limit": ("gold=9",)})
    assert request.models == [str(folder / "conf" / ".." / "model")]
    assert (request.replicas, request.labels) == ((1, 4), ["shirt", "boot"])
    assert request.options.scaling == Scaling(metric=ScaleMetric.MEMORY, stable_window_seconds=30.0)
    assert request.options.access.tiers == {"anonymous": TierLimit(2), "gold": TierLimit(9)}
    clean = request.options.sharding.clean
    assert clean is not None
    assert (clean.module, clean.function) == ("tidy", "tidy")
    assert request.sources[clean.source] == {"tidy.py": "def tidy(part):\n    return part\n"}
    assert request.options.sharding.body_bytes == 2**30


def test_everything_that_is_wrong_in_a_file_is_told_at_once_with_its_line(folder: Path) -> None:
    file = folder / "service.yaml"
    file.write_text(
        "name: digits\nmodels: [model]\nreplica: 1:4\nscaling:\n  metrik: cpu\n  target: -1\n"
        "batching:\n  max_batch_size: many\nname: again\n"
    )
    found = problems(file=file, name=None)
    assert found[f"{file}:3: replica"][1] == "did you mean 'replicas'?"
    assert found[f"{file}:5: scaling.metrik"][1] == "did you mean 'metric'?"
    assert found[f"{file}:6: scaling.target"][0] == "-1 is no amount"
    assert found[f"{file}:8: batching.max_batch_size"][0] == "'many' is not a whole number"
    assert f"{file}:9: name" in found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no service"),
        ("- a", "holds no service"),
        ("name: [", "expected"),
        ("a: !!python/name:os.system ''", "could not determine a constructor"),
        ("a: " + "[" * 5000, "nested too deeply"),
        ("name: digits\nmodels: [" + "model, " * 20_000 + "]", "more than 10000 values"),
        ("name: \x01", "special characters are not allowed"),
    ],
)
def test_a_file_that_is_none_is_one_message(folder: Path, text: str, words: str) -> None:
    file = folder / "service.yaml"
    file.write_text(text)
    with pytest.raises(InvalidRequest) as caught:
        describe(["model"], {"file": file})
    assert words in caught.value.message
    assert str(file) in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("given", "where", "message", "hint"),
    [
        ({"replicas": "4:1"}, "--replicas", "4 to 1 replicas", "1:4"),
        ({"replicas": "many"}, "--replicas", "not MIN:MAX", "1:4"),
        ({"metric": "cpuu"}, "--metric", "'cpuu' is not one of", "did you mean 'cpu'?"),
        ({"max_batch_size": 0}, "--max-batch-size", "0 is too little", "from 1"),
        ({"max_wait": "soon"}, "--max-wait", "'soon' is not a length of time", "5m"),
        ({"balancing": "ring_hash"}, "--hash-header", "goes by a header", "x-user"),
        ({"hash_header": "x-user"}, "--hash-header", "'least_request'", "ring_hash"),
        ({"limit": ("foo",)}, "--limit", "not TIER=", "anonymous=2:4:100/1h"),
        ({"limit": ("a=:4",)}, "--limit", "their concurrency is not limited", "drop the queue"),
        ({"limit": ("a=::5/minutely",)}, "--limit", "'minutely' is not a length of time", "30s"),
        ({"limit": ("a=::5/",)}, "--limit", "'' is not a length of time", "minute"),
        ({"limit": ("a=::5/soon",)}, "--limit", "not a length of time", "30s"),
        ({"limit": ("a=1", "a=2")}, "--limit", "two limits", "one --limit"),
        ({"tile": "256"}, "--tile", "not HEIGHTxWIDTH", "256x256"),
        ({"tile": "256x256"}, "--tile", "strategy is 'replicated'", "sharded"),
        ({"clean": "cleaning.py:drip", "strategy": "sharded"}, "--clean", "no function 'drip'", "'drop'?"),
        ({"clean": "cleaning.py:Not", "strategy": "sharded"}, "--clean", "no function 'Not'", "drop"),
        ({"clean": "none.py:drop", "strategy": "sharded"}, "--clean", "there is no file", "check the path"),
        ({"clean": "cleaning.py", "strategy": "sharded"}, "--clean", "not FILE.py:FUNCTION", "cleaning.py"),
        ({"canary": 100}, "--canary", "100 percent", "from 1 to 99"),
        ({"canary": 10, "hold": True}, "release", "--canary and --hold", "choose one"),
        ({"aggregate": "sum"}, "--aggregate", "'sum'", "'mean'"),
        ({"aggregate": "weighted_mean"}, "--weights", "0 weights for 1 models", "one weight for each"),
        ({"aggregate": "cleaning.py:drop"}, "--aggregate", "several models, and there is one", "name more"),
        ({"weights": "1"}, "--weights", "aggregate is 'mean'", "weighted_mean"),
        ({"replicas": "0:1", "strategy": "sharded"}, "--replicas", "at least one replica", "event"),
        ({"labels": Path("none.txt")}, "--labels", "there is no file", "check the path"),
        ({"name": ""}, "--name", "no name", "--name NAME"),
    ],
)
def test_each_mistake_names_its_option_and_its_mend(
    folder: Path, given: dict[str, Any], where: str, message: str, hint: str
) -> None:
    found = problems("model", **given)
    assert list(found) == [where]
    assert message in found[where][0]
    assert hint in found[where][1]


def test_a_model_that_is_not_there_is_told_with_the_nearest(folder: Path) -> None:
    assert problems("modle") == {"models": ("there is no modle", "did you mean 'model'?")}
    assert problems() == {"models": ("there is no model to serve", "name at least one")}
    assert describe(["artifact:ab12"], {"name": "digits"}).models == ["artifact:ab12"]


def test_a_function_as_aggregate_is_sent_with_its_code(folder: Path) -> None:
    request = describe(["model", "other"], {"name": "digits", "aggregate": "cleaning.py:drop"})
    function = request.options.ensemble.function
    assert request.aggregate == "function"
    assert function is not None
    assert request.sources == {function.source: {"cleaning.py": (folder / "cleaning.py").read_text()}}


def test_an_event_driven_service_starts_from_nothing_unless_it_is_told_otherwise(folder: Path) -> None:
    assert describe(["model"], {"name": "digits", "strategy": "event"}).replicas == (0, 1)
    assert describe(["model"], {"name": "digits", "strategy": "event", "replicas": "2"}).replicas == (2, 2)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    folder = tmp_path_factory.mktemp("served")
    command = Command(folder / "work", folder / "home")
    for name in ("model", "hopeless", "broken"):
        (command.folder / name).mkdir()
    yield command
    command.close()


def test_a_service_is_shown_with_its_address_and_a_request_to_paste(served: Command) -> None:
    result = served("serve", "model", "--name", "fashion", "--user", "ada")
    url = "http://127.0.0.1:1/v1/models/fashion:predict"
    assert result.code == 0
    assert result.err.splitlines()[-2:] == ["importing model", "starting fashion"]
    lines = result.out.splitlines()
    assert lines[:2] == ["service fashion answers", url]
    assert lines[2].startswith(f"curl {url} -d ")
    assert served("service", "fashion", "--json").document["revisions"][0]["user"] == "ada"
    again = served("serve", "model", "--name", "fashion", "--json")
    assert (again.code, again.document["stage"]) == (0, "unchanged")


def test_detach_does_not_wait(served: Command) -> None:
    result = served("serve", "model", "--name", "later", "--detach")
    assert (result.code, result.out) == (0, "service later is starting\n")


def test_a_model_that_is_none_and_one_that_never_answers_end_differently(served: Command) -> None:
    broken = served("serve", "broken", "--name", "bad")
    assert (broken.code, broken.out) == (2, "")
    assert broken.err.splitlines()[-2:] == [
        f"error: {served.folder / 'broken'} is no model",
        "hint: export it again",
    ]
    hopeless = served("serve", "hopeless", "--name", "bad", "--json")
    assert (hopeless.code, hopeless.document["error"]["code"]) == (1, "run_failed")


def test_all_mistakes_are_told_and_nothing_is_started(argosy: Command) -> None:
    result = argosy("serve", "modle", "--name", "x", "--max-batch-size", "0", "--metric", "cpuu")
    assert result.code == 2
    assert [line.partition(":")[2].partition(":")[0] for line in result.err.splitlines()[::2]] == [
        " --metric",
        " models",
        " --max-batch-size",
    ]
    assert not argosy.home.exists()


def test_interrupted_it_says_what_goes_on(served: Command) -> None:
    (served.folder / "hang").mkdir(exist_ok=True)
    serving = served.start("serve", "hang", "--name", "slow")
    assert serving.stderr is not None
    for line in serving.stderr:
        if line == "starting slow\n":
            break
    serving.send_signal(signal.SIGINT)
    _, err = serving.communicate(timeout=30)
    assert serving.returncode == 130
    assert "service slow goes on starting" in err


def test_the_file_of_the_example_describes_a_service(folder: Path) -> None:
    example = Path(__file__).parents[2] / "examples" / "serving"
    request = describe(["model"], {"file": example / "service.yaml"})
    assert (request.name, request.replicas, len(request.labels)) == ("fashion", (0, 4), 10)
    assert request.options.scaling.idle_seconds == 120.0
    preprocessing = describe(["model"], {"name": "a", "preprocessing": example / "preprocessing.json"})
    assert preprocessing.preprocessing["height"] == 28


def test_the_file_in_the_documentation_describes_a_service(folder: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    (folder / "labels.txt").write_text("shirt\nboot\n")
    (folder / "service.yaml").write_text(text.split("```yaml\n")[1].split("```")[0])
    request = describe([], {"file": folder / "service.yaml"})
    assert request.options.access.tiers["anonymous"] == TierLimit(2, 4, 100, 3600.0)


def tensor(name: str, *shape: int, datatype: str = "FP32") -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [-1, *shape]}


IMAGE = r"""-d "{\"instances\": [{\"b64\": \"$(base64 -w0 IMAGE.png)\"}]}" """.strip()
IMAGES = {"images": "BYTES [-1] holds encoded images"}


@pytest.mark.parametrize(
    ("metadata", "data"),
    [
        ({"inputs": [tensor("x", 2)], "properties": {}}, "-d '{\"instances\": [[0, 0]]}'"),
        ({"inputs": [tensor("x")], "properties": {}}, "-d '{\"instances\": [0]}'"),
        (
            {"inputs": [tensor("a", 1), tensor("b", 1, 2)], "properties": {}},
            '-d \'{"instances": [{"a": [0], "b": [[0, 0]]}]}\'',
        ),
        ({"inputs": [tensor("x", 28, 28, 1)], "properties": IMAGES}, IMAGE),
        ({"inputs": [tensor("x", 28, 28, 1)], "properties": {}}, "-d @REQUEST.json"),
        ({"inputs": [tensor("x", -1)], "properties": {}}, "-d @REQUEST.json"),
        ({"inputs": [tensor("x", datatype="BYTES")], "properties": {}}, IMAGE),
        ({}, IMAGE),
    ],
)
def test_the_request_to_paste_is_one_that_the_model_takes(metadata: dict[str, Any], data: str) -> None:
    assert request_data(metadata) == data


@pytest.mark.parametrize(
    ("period", "seconds"),
    [("/second", 1), ("/minute", 60), ("/hour", 3600), ("/day", 86400), ("/10 minutes", 600), ("/h", 3600)],
)
def test_the_period_of_a_limit_may_be_a_word(period: str, seconds: float) -> None:
    assert parse_limit(f"anonymous=2:1:5{period}") == (
        "anonymous",
        {"concurrency": 2, "queue": 1, "requests": 5, "period_seconds": seconds},
    )
