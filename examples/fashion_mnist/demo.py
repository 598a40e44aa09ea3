"""The main job from end to end: run it, look at what it chose, and ask what it serves about the test images.

``make demo`` runs this. The service stays up afterwards.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from asking import Answers, ask, png_base64, request_bodies
from drawing import draw, side_by_side

from argosy import Dataset, Model
from argosy.artifacts.reference import Value
from argosy.artifacts.store import ArtifactStore
from argosy.data import open_dataset
from argosy.home import Home
from argosy.train.selection import METRIC, choose
from argosy.units import format_duration

WORKFLOW = Path(__file__).with_name("fashion_mnist.py")
ARGOSY = Path(sys.executable).with_name("argosy")
CALLERS = 4
BATCH = 100
SINGLE_REQUESTS = 1_000
SAMPLES = 10


def main() -> None:
    run = run_workflow()
    store = ArtifactStore(Home.from_environment().artifacts)
    service = find_service(run["output"]["name"])
    print_candidates(run, store)
    print_service(service)
    images, labels, classes = test_split(run, store)
    answers = ask_all(service, images, labels)
    print_samples(images, labels, classes, answers.probabilities)
    print_how_to_go_on(service)


def run_workflow() -> dict[str, Any]:
    """Run the main job with live progress on the terminal; the run, as ``argosy show --json`` gives it."""
    heading("The main job: ingest → train three models → select two → serve them together")
    done = subprocess.run([ARGOSY, "run", WORKFLOW, "--json"], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(done.returncode)
    run: dict[str, Any] = json.loads(done.stdout)
    cached = [node["node"] for node in run["nodes"] if node["state"] == "cached"]
    seconds = format_duration(run["ended_at"] - run["created_at"])
    print(f"\nRun {run['run']} took {seconds}; {len(cached)} of {len(run['nodes'])} nodes from cache", end="")
    print(f": {', '.join(cached)}" if cached else "")
    return run


def find_service(name: str) -> dict[str, Any]:
    listed = subprocess.run([ARGOSY, "services", "--json"], stdout=subprocess.PIPE, text=True, check=True)
    services: list[dict[str, Any]] = json.loads(listed.stdout)
    return next(service for service in services if service["name"] == name)


def nodes_of(run: Mapping[str, Any], step: str) -> list[dict[str, Any]]:
    return [node for node in run["nodes"] if node["step"] == step]


def output_of(node: Mapping[str, Any], store: ArtifactStore) -> Any:
    return store.get(msgspec.convert(node["output"], Value))


def print_candidates(run: Mapping[str, Any], store: ArtifactStore) -> None:
    """Every trained model with its numbers on the validation split, and why it was selected or not."""
    candidates: list[Model] = [output_of(node, store) for node in nodes_of(run, "train")]
    scores = {model.name: model.metrics.get(METRIC) for model in candidates}
    settings = run["parameters"]
    reasons = choose(scores, top=settings["top"], threshold=settings["min_accuracy"]).reasons
    heading("The candidates, on the validation images")
    rows = [("model", "accuracy", "loss", "training", "")]
    for model in sorted(candidates, key=lambda model: list(reasons).index(model.name)):
        metrics = model.metrics
        rows.append(
            (
                model.name,
                f"{metrics[METRIC]:.4f}",
                f"{metrics['validation_loss']:.4f}",
                format_duration(metrics["seconds"]),
                reasons[model.name],
            )
        )
    print(aligned(rows))


def print_service(service: Mapping[str, Any]) -> None:
    heading(f"Service {service['name']}, revision {service['revision']}, {service['state']}")
    rows = [(f"{service['aggregate']} of all", service["url"], "")]
    for member in service["members"]:
        ready = sum(replica["state"] == "ready" for replica in member["replicas"])
        rows.append((member["model"], member["url"], f"{ready} replicas ready"))
    print(aligned(rows))


def test_split(
    run: Mapping[str, Any], store: ArtifactStore
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], tuple[str, ...]]:
    """The images that no training and no selection has seen, uint8[n, 28, 28], their labels, the classes."""
    (ingest,) = nodes_of(run, "ingest")
    dataset: Dataset = output_of(ingest, store)
    reader = open_dataset(dataset)
    split = reader.split("test")
    columns = split.read(0, len(split))
    return columns["images"], columns["labels"], reader.classes


def ask_all(service: Mapping[str, Any], images: npt.NDArray[Any], labels: npt.NDArray[Any]) -> Answers:
    """Print accuracy and speed of each model and of all together; the latter's answers."""
    heading(f"Asked over HTTP about the {len(images):,} test images, {CALLERS} callers at a time")
    pictures = [png_base64(image) for image in images]
    batches = request_bodies(pictures, BATCH)
    singles = request_bodies(pictures[:SINGLE_REQUESTS], 1)
    rows = [("model", "accuracy", "images/s", "requests/s", "p50", "p99")]
    targets = [(member["model"], member["url"]) for member in service["members"]]
    for name, url in [*targets, (f"{service['aggregate']} of all", service["url"])]:
        answers = ask(url, batches, CALLERS)
        single = ask(url, singles, CALLERS)
        accuracy = np.mean(answers.probabilities.argmax(axis=1) == labels)
        rows.append(
            (
                name,
                f"{accuracy:.4f}",
                f"{len(images) / answers.wall_seconds:,.0f}",
                f"{single.requests_per_second:,.0f}",
                f"{single.percentile_milliseconds(50):.1f} ms",
                f"{single.percentile_milliseconds(99):.1f} ms",
            )
        )
    print(aligned(rows))
    print(
        f"\nAccuracy and images/s: requests of {BATCH} PNG images. Requests/s, p50 and p99: "
        f"{SINGLE_REQUESTS:,} requests of one.\nThe callers share this machine's cores with the models."
    )
    return answers


def print_samples(
    images: npt.NDArray[Any],
    labels: npt.NDArray[Any],
    classes: Sequence[str],
    probabilities: npt.NDArray[np.float64],
) -> None:
    heading("Ten of them, and what the service answered")
    for start in (0, SAMPLES // 2):
        columns = []
        for number in range(start, start + SAMPLES // 2):
            answer = int(probabilities[number].argmax())
            truth = int(labels[number])
            verdict = "right" if answer == truth else f"is {classes[truth]}"
            said = f"{classes[answer]} {probabilities[number, answer]:.0%}"
            columns.append([*draw(images[number]), said, verdict, ""])
        print(side_by_side(columns))


def print_how_to_go_on(service: Mapping[str, Any]) -> None:
    heading("The service stays up")
    print(f"""ask it      .venv/bin/argosy predict {service["name"]} IMAGE_FILE...
or          curl {service["url"]} -d "{{\\"instances\\": [{{\\"b64\\": \\"$(base64 -w0 IMAGE_FILE)\\"}}]}}"
look        .venv/bin/argosy services, runs, show RUN, logs RUN [NODE]
stop        .venv/bin/argosy down     (`argosy up` brings the service back)
run again   make demo                 (what is unchanged comes from cache)""")


def heading(text: str) -> None:
    print(f"\n{text}\n{'─' * len(text)}", flush=True)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns two spaces apart."""
    return side_by_side(list(zip(*rows, strict=True)), gap=2)


if __name__ == "__main__":
    main()
