"""Closed-loop load by wrk: ``callers`` connections that each ask again as soon as they are answered."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from serving.inputs import cache

SCRIPT = Path(__file__).with_name("load.lua")
TIMEOUT_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Load:
    """What a load found: answers a second and latencies in milliseconds. ``refused`` counts every answer that
    is not a success, ``broken`` the connections that failed and the answers that took over ten seconds."""

    requests: int
    rate: float
    p50: float
    p99: float
    longest: float
    refused: int
    broken: int

    @property
    def failed(self) -> int:
        return self.refused + self.broken


def wrk() -> str:
    """The program. Stops the benchmark when it is not there: bench/serving/install fetches it."""
    own = cache() / "debian" / "usr" / "bin" / "wrk"
    found = shutil.which("wrk") or (str(own) if own.exists() else None)
    if found is None:
        raise SystemExit("error: wrk is not installed\nhint: run bench/serving/install")
    return found


def bodies_file(bodies: Sequence[bytes], name: str) -> Path:
    """The bodies, one a line, where the generator reads them."""
    path = cache() / f"bodies-{name}.jsonl"
    path.write_bytes(b"\n".join(bodies) + b"\n")
    return path


def load(urls: Sequence[str], bodies: Path, callers: int, seconds: float) -> Load:
    """Ask for so long. Several urls differ in host and port alone: the connections are spread over them
    evenly, and one caller asks the first."""
    threads = min(2, callers)
    addresses = [url.split("/")[2] for url in urls] if len(urls) > 1 else []
    # wrk takes whole seconds.
    command = [wrk(), f"-t{threads}", f"-c{callers}", f"-d{max(1, round(seconds))}s"]
    command += ["--timeout", f"{TIMEOUT_SECONDS}s", "-s", str(SCRIPT), urls[0], "--", str(bodies)]
    environment = {**os.environ, "BENCH_ADDRESSES": ",".join(addresses)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode or "{" not in done.stdout:
        raise RuntimeError(f"wrk failed: {done.stderr or done.stdout}")
    return _parse(json.loads(done.stdout[done.stdout.rindex("{") :]))


def _parse(found: dict[str, int]) -> Load:
    succeeded = found["requests"] - found["refused"]
    return Load(
        requests=found["requests"],
        rate=succeeded / (found["microseconds"] / 1e6),
        p50=found["p50"] / 1000,
        p99=found["p99"] / 1000,
        longest=found["longest"] / 1000,
        refused=found["refused"],
        broken=found["broken"],
    )
