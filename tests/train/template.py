"""A process that has imported TensorFlow once and forks the ranks of each job, as Argosy's launcher does.

Reads one JSON job a line ("function", "workers", "arguments", "environment", "crash"). When a rank ends badly
the others are killed. Answers with one line: the exit status of each rank, negative for a signal.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import Any

from argosy.train import libraries


def main() -> None:
    libraries.load()
    import jobs  # type: ignore[import-not-found]

    say("ready")
    for line in sys.stdin:
        say(json.dumps(run(json.loads(line), jobs)))


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def run(job: dict[str, Any], jobs: Any) -> list[int]:
    peers = [f"127.0.0.1:{port}" for port in free_ports(job["workers"])]
    ranks = {}
    for rank in range(job["workers"]):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                work(job, rank, peers, jobs)
                code = 0
            except BaseException as error:
                path = Path(job["arguments"]["output"]) / f"error-{rank}.txt"
                path.write_text(f"{type(error).__name__}: {error}\n\n{traceback.format_exc()}")
            finally:
                os._exit(code)
        ranks[pid] = rank
    return wait(ranks)


def wait(ranks: dict[int, int]) -> list[int]:
    codes: dict[int, int] = {}
    while len(codes) < len(ranks):
        pid, status = os.wait()
        codes[ranks[pid]] = os.waitstatus_to_exitcode(status)
        if status:
            for other, rank in ranks.items():
                if rank not in codes:
                    os.kill(other, signal.SIGKILL)
    return [codes[rank] for rank in sorted(codes)]


def work(job: dict[str, Any], rank: int, peers: list[str], jobs: Any) -> None:
    from argosy import crash_points

    log = os.open(f"{job['arguments']['output']}/log-{rank}.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ |= {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "2"}
    os.environ |= job["environment"]
    if len(peers) > 1:
        configuration = {"cluster": {"worker": peers}, "task": {"type": "worker", "index": rank}}
        os.environ["TF_CONFIG"] = json.dumps(configuration)
    crash_points.arm(job["crash"].get(str(rank)))
    getattr(jobs, job["function"])(rank=rank, workers=len(peers), **job["arguments"])


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


if __name__ == "__main__":
    main()
