"""What the runtime asks of Linux beyond the standard library: prctl and /proc."""

from __future__ import annotations

import ctypes
import os

_PDEATHSIG = 1
_GET_PDEATHSIG = 2
_SET_NAME = 15
_CHILD_SUBREAPER = 36
PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")

_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, argument: int) -> None:
    zero = ctypes.c_ulong(0)
    if _libc.prctl(option, ctypes.c_ulong(argument), zero, zero, zero) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def die_with_parent(signal: int) -> None:
    """Ask for ``signal`` when the parent ends. The parent may be gone already: look at getppid after."""
    _prctl(_PDEATHSIG, signal)


def is_tied() -> bool:
    """Whether this process dies with its parent."""
    number = ctypes.c_int(0)
    _libc.prctl(_GET_PDEATHSIG, ctypes.byref(number), 0, 0, 0)
    return number.value != 0


def adopt_orphans() -> None:
    """Become the parent of every descendant that loses its own."""
    _prctl(_CHILD_SUBREAPER, 1)


def set_name(name: str) -> None:
    """What ps and top show; at most 15 characters."""
    _libc.prctl(_SET_NAME, ctypes.c_char_p(name.encode()[:15]), 0, 0, 0)


def read(path: str) -> bytes:
    """The bytes of a small file under /proc; empty when its process is gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(descriptor, 1 << 16)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def stat_fields(pid: int) -> list[bytes]:
    """The fields of /proc/PID/stat from ``state`` on; empty when there is no such process."""
    stat = read(f"/proc/{pid}/stat")
    # The command in parentheses may itself hold spaces and parentheses.
    return stat[stat.rindex(b")") + 2 :].split() if b")" in stat else []


def start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None when there is none, or only a zombie."""
    fields = stat_fields(pid)
    return None if not fields or fields[0] in (b"Z", b"X") else int(fields[19])


def cpu_seconds(pid: int) -> float:
    """Seconds on the processor, of the process and of the children it waited for."""
    fields = stat_fields(pid)
    return sum(int(field) for field in fields[11:15]) / TICKS if fields else 0.0


def minor_faults(pid: int) -> int:
    """How often a process touched a page that was not its own yet; 0 when there is no such process."""
    fields = stat_fields(pid)
    return int(fields[7]) if fields else 0


def resident_and_shared(pid: int) -> tuple[int, int]:
    """(resident, of which backed by files or shared memory) bytes; (0, 0) when there is no such process."""
    fields = read(f"/proc/{pid}/statm").split()
    return (int(fields[1]) * PAGE, int(fields[2]) * PAGE) if fields else (0, 0)


def private_size() -> int:
    """Bytes of private memory this process has mapped, used or not: what RLIMIT_DATA counts."""
    return int(read("/proc/self/statm").split()[5]) * PAGE


def proportional_memory(pid: int) -> int | None:
    """Bytes of anonymous and shared memory, pages shared with n processes counted as 1/n; None if unknown."""
    total, found = 0, False
    for line in read(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith((b"Pss_Anon:", b"Pss_Shmem:")):
            total += int(line.split()[1]) * 1024
            found = True
    return total if found else None


def children(pid: int) -> list[int]:
    """Children that the main thread of a process made or adopted."""
    return [int(child) for child in read(f"/proc/{pid}/task/{pid}/children").split()]


def descendants(pid: int, *, all_threads: bool) -> list[int]:
    """Every living descendant. Without ``all_threads`` only those the main threads made: quick to find."""
    found: list[int] = []
    todo = [pid]
    while todo:
        parent = todo.pop()
        made = _children_of_threads(parent) if all_threads else children(parent)
        found += made
        todo += made
    return found


def _children_of_threads(pid: int) -> list[int]:
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    return [int(child) for thread in threads for child in read(f"/proc/{pid}/task/{thread}/children").split()]


def out_of_memory_kills() -> int:
    """How many processes the kernel has killed for want of memory since boot."""
    for line in read("/proc/vmstat").splitlines():
        if line.startswith(b"oom_kill "):
            return int(line.split()[1])
    return 0


def pids_with_environment(entry: bytes) -> list[int]:
    """Processes whose environment at their start (or at their exec) held ``NAME=value``."""
    if not entry:
        return []
    return [
        int(name)
        for name in os.listdir("/proc")
        if name.isdigit() and entry in read_all(f"/proc/{name}/environ").split(b"\0")
    ]


def read_all(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""
