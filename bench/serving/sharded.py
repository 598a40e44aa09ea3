"""One request of 50,000 images: images a second by shards, beside one replica, and the peak of each process.

    bench/serving/run sharded [--images 50000] [--shards 1,2] [--rounds 3]

The replica gets the same images in requests of 1,000, one after another; a larger one it would not take
whole. Every answer is compared with ONNX Runtime's own. Memory is what each process held at most during the
request, beside what it held before.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from support.measure import machine

from argosy.flow.service_options import ServiceOptions, Sharding, Strategy
from serving import inputs
from serving.answers import TOLERANCE, Client, probabilities
from serving.processes import forget_peak, peak_mebibytes, resident_mebibytes
from serving.support import Ours, start_ours

REPLICA_IMAGES = 1_000
TIMEOUT_SECONDS = 600.0
BASELINE = "one replica, 1,000 images a request"


@dataclass(slots=True)
class Memory:
    """MiB of one process: before the requests, and at most."""

    process: str
    before: float
    peak: float


@dataclass(slots=True)
class Trial:
    """Images a second of every round, and the memory of the processes in the last."""

    name: str
    rates: list[float] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)


def body(images: int) -> bytes:
    """``images`` instances, the pictures in turns."""
    instances = [inputs.instance(jpeg) for jpeg in inputs.jpegs()]
    repeated = (instances * math.ceil(images / len(instances)))[:images]
    return b'{"instances":[' + b",".join(repeated) + b"]}"


def measured(ours: Ours, trial: Trial, images: int, a_request: int) -> None:
    """Ask once for all images, in requests of so many; adds a rate, and the memory."""
    requests = [body(min(a_request, images - start)) for start in range(0, images, a_request)]
    processes = _processes(ours)
    before = {name: resident_mebibytes(pid) for name, pid in processes.items()}
    for pid in processes.values():
        forget_peak(pid)
    client = Client(ours.url, timeout=TIMEOUT_SECONDS)
    start = time.perf_counter()
    answers = [client.post(request) for request in requests]
    trial.rates.append(images / (time.perf_counter() - start))
    client.close()
    trial.memory = [Memory(name, before[name], peak_mebibytes(pid)) for name, pid in processes.items()]
    for request, answer in enumerate(answers):
        _check(answer, min(a_request, images - request * a_request))


def _processes(ours: Ours) -> dict[str, int]:
    kinds = (
        ("router", ours.router_pids()),
        ("replica", ours.replica_pids()),
        ("Envoy", ours.gateway_pids()),
    )
    return {f"{kind} {number}": pid for kind, pids in kinds for number, pid in enumerate(pids)}


def _check(answer: tuple[int, bytes], images: int) -> None:
    status, text = answer
    if status != 200:
        raise SystemExit(f"a request of {images:,} images: {status} {text[:300].decode(errors='replace')}")
    found, expected = probabilities(text), inputs.expected(inputs.plain_model())
    wanted = np.resize(expected, (images, expected.shape[1]))
    if found.shape != wanted.shape or not np.abs(found - wanted).max() <= TOLERANCE:
        raise SystemExit(f"a request of {images:,} images: the answer is wrong or not in order")


def measure(images: int, shards: Sequence[int], rounds: int) -> list[Trial]:
    trials = [Trial(BASELINE), *(Trial(_name(count)) for count in shards)]
    for number in range(1, rounds + 1):
        for trial, count in zip(trials, [0, *shards], strict=True):
            print(f"  round {number} of {rounds}: {trial.name}\033[K", end="\r", file=sys.stderr, flush=True)
            _round(trial, count, images)
    print(end="\033[K", file=sys.stderr, flush=True)
    return trials


def _name(shards: int) -> str:
    return f"{shards} shard{'s' * (shards > 1)}, one request"


def _round(trial: Trial, shards: int, images: int) -> None:
    """``shards`` 0 is the replica that is not sharded."""
    sharded = ServiceOptions(strategy=Strategy.SHARDED, sharding=Sharding())
    options = sharded if shards else ServiceOptions()
    with start_ours(inputs.plain_model(), max(1, shards), max(1, shards), options=options) as ours:
        # Nothing is loaded for the first time while time is taken.
        measured(ours, Trial("warm-up"), min(images, REPLICA_IMAGES), REPLICA_IMAGES)
        measured(ours, trial, images, images if shards else REPLICA_IMAGES)


def print_table(trials: Sequence[Trial], images: int) -> None:
    baseline = statistics.median(trials[0].rates)
    print(f"\n## {images:,} images in one request\n")
    print(f"| | images/s | min – max | × {BASELINE} |\n| --- | ---: | ---: | ---: |")
    for trial in trials:
        rate = statistics.median(trial.rates)
        spread = f"{min(trial.rates):,.0f} – {max(trial.rates):,.0f}"
        print(f"| {trial.name} | {rate:,.0f} | {spread} | {rate / baseline:.2f} |")
    print("\n| | process | MiB before | MiB at most |\n| --- | --- | ---: | ---: |")
    for trial in trials:
        for one in trial.memory:
            print(f"| {trial.name} | {one.process} | {one.before:.0f} | {one.peak:.0f} |")
    size = len(body(images)) / 2**20
    print(f"\nThe request is {size:.0f} MiB. {machine()}. Repeat: `bench/serving/run sharded`")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--shards", default="1,2", help="numbers of shards")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    shards = [int(one) for one in arguments.shards.split(",") if one]
    print_table(measure(arguments.images, shards, arguments.rounds), arguments.images)


if __name__ == "__main__":
    main()
