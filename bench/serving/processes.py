"""Servers as processes: started, found again with all they started, and ended, whatever they do."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

MARK = "ARGOSY_BENCH_SERVER"
TICKS = os.sysconf("SC_CLK_TCK")

Found = TypeVar("Found")


def free_ports(count: int) -> list[int]:
    """So many ports in a row of which each is free now: some servers want neighbours."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as first:
            port = first.getsockname()[1]
        with suppress(OSError, OverflowError):
            for neighbour in range(port, port + count):
                socket.create_server(("127.0.0.1", neighbour)).close()
            return list(range(port, port + count))


def until(find: Callable[[], Found | None], what: str, seconds: float, pause: float = 0.05) -> Found:
    """The first thing found. Raises TimeoutError with the words of the last ConnectionError."""
    deadline, reason = time.monotonic() + seconds, ""
    while time.monotonic() < deadline:
        try:
            if (found := find()) is not None:
                return found
        except (OSError, RuntimeError) as error:
            reason = f": {error}"
        time.sleep(pause)
    raise TimeoutError(f"{what} was not there after {seconds:g} s{reason}")


class Server:
    """A server and everything it started, even what made itself independent: all carry a mark in their
    environment. Its output goes to ``log``."""

    def __init__(self, command: Sequence[str | Path], environment: Mapping[str, str], log: Path) -> None:
        self._mark = uuid.uuid4().hex
        self.log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [str(part) for part in command],
                env={**environment, MARK: self._mark},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "it said nothing"

    def pids(self) -> list[int]:
        return pids_with(f"{MARK}={self._mark}")

    def stop(self, patience: float = 5.0) -> None:
        """SIGTERM to the first process, a while to end all, then SIGKILL to whatever is left."""
        with suppress(ProcessLookupError):
            self._process.terminate()
        with suppress(TimeoutError):
            until(lambda: (self._process.poll() is not None and not self.pids()) or None, "end", patience)
        while left := self.pids():
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.poll()
            time.sleep(0.02)
        self._process.wait()


def pids_with(variable: str) -> list[int]:
    """The processes whose environment holds NAME=VALUE."""
    return [pid for pid in _all_pids() if variable.encode() in _read(pid, "environ").split(b"\0")]


def program(pid: int) -> str:
    """The name of what a process runs, at most 15 letters."""
    return _read(pid, "comm").decode(errors="replace").strip()


def cpu_seconds(pids: Iterable[int]) -> float:
    """Processor time that these processes have used so far, in user and system mode."""
    total = 0
    for pid in pids:
        fields = _read(pid, "stat").rpartition(b")")[2].split()
        if fields:
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


def idle_percent(pids: Sequence[int], seconds: float = 1.0) -> float:
    """Percent of one core that processes use while nobody asks them anything."""
    before, start = cpu_seconds(pids), time.monotonic()
    time.sleep(seconds)
    return 100 * (cpu_seconds(pids) - before) / (time.monotonic() - start)


def forget_peak(pid: int) -> None:
    """Start to measure the peak memory of a process anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_mebibytes(pid: int) -> float:
    return _kibibytes(pid, b"VmHWM:") / 1024


def resident_mebibytes(pid: int) -> float:
    return _kibibytes(pid, b"VmRSS:") / 1024


def _kibibytes(pid: int, field: bytes) -> int:
    lines = _read(pid, "status").splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith(field)), 0)


def _all_pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _read(pid: int, file: str) -> bytes:
    """What /proc says of a process; nothing of one that is gone."""
    try:
        return Path(f"/proc/{pid}/{file}").read_bytes()
    except OSError:
        return b""
