"""What a rank finds around it: its log, its scratch folder, its environment, its limits."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import sys

from argosy.runtime import linux
from argosy.runtime.frames import Go
from argosy.runtime.protocol import AttemptSpec

_CAPTURED = 1 << 16
_SETTERS = ("scipy_openblas_set_num_threads64_", "openblas_set_num_threads64_", "openblas_set_num_threads")
# An address space limit of this much over what may be held stops what allocates faster than anyone can look;
# reserved but unused memory (thread stacks, arenas) must fit into the difference.
_SLACK_FACTOR = 2
_SLACK = 2**30
_openblas: str | None = None


def open_log(spec: AttemptSpec, rank: int, captured: int) -> None:
    """Standard output and error go to the log from here on; first what the template's import printed."""
    path = spec.log.replace("{rank}", str(rank))
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    try:
        log = os.open(path, flags, 0o644)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        log = os.open(path, flags, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    if printed := os.pread(captured, _CAPTURED, 0):
        os.write(1, printed)
    os.close(captured)


def enter_scratch(spec: AttemptSpec) -> None:
    """Make the scratch folder the working directory."""
    try:
        os.mkdir(spec.directory)
    except FileExistsError:
        pass
    except FileNotFoundError:
        os.makedirs(spec.directory, exist_ok=True)
    os.chdir(spec.directory)
    if spec.node_directory:
        os.makedirs(spec.node_directory, exist_ok=True)


def set_environment(spec: AttemptSpec, go: Go) -> None:
    """Name the rank and its peers, and how many threads libraries may use."""
    threads = max(1, round(spec.cpu))
    rank, workers = str(go.rank), str(spec.workers)
    environment = {
        "TMPDIR": spec.directory,
        "OMP_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "TF_NUM_INTRAOP_THREADS": str(threads),
        # With one thread a collective that waits for its peers would keep out what they wait for.
        "TF_NUM_INTEROP_THREADS": str(max(2, threads)),
        "ARGOSY_ATTEMPT": spec.attempt,
        "ARGOSY_RANK": rank,
        "ARGOSY_WORKERS": workers,
    }
    if go.peers:
        host, port = go.master.rsplit(":", 1)
        cluster = {"cluster": {"worker": go.peers}, "task": {"type": "worker", "index": go.rank}}
        environment |= {
            "TF_CONFIG": json.dumps(cluster),
            "RANK": rank,
            "LOCAL_RANK": rank,
            "WORLD_SIZE": workers,
            "MASTER_ADDR": host,
            "MASTER_PORT": port,
        }
    os.environ.update(environment)
    os.environ.update(spec.environment)


def limit_memory(spec: AttemptSpec) -> None:
    """Let an allocation far over the memory limit fail in the process itself, as MemoryError.

    The launcher enforces the limit proper. TensorFlow ends its process when an allocation fails, so there the
    launcher is left to do it.
    """
    if spec.memory is None or "tensorflow" in sys.modules:
        return
    most = linux.private_size() + _SLACK_FACTOR * spec.memory + _SLACK
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def limit_threads(spec: AttemptSpec) -> None:
    """OpenBLAS has read its environment when the template imported it: tell it again."""
    threads = max(1, round(spec.cpu))
    if _openblas is not None and threads < (os.cpu_count() or 1):
        library = ctypes.CDLL(_openblas)
        for name in _SETTERS:
            if hasattr(library, name):
                getattr(library, name)(threads)
                return


def find_libraries() -> None:
    """Look up what :func:`limit_threads` needs; done by templates, once everything is imported."""
    global _openblas
    for line in linux.read_all("/proc/self/maps").splitlines():
        if b"openblas" in line:
            _openblas = line.split(maxsplit=5)[5].decode()
            return
