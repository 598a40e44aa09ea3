"""What one rank and its descendants use.

Memory is what would be gained by ending the rank. A forked rank shares the template's pages, so two figures
are kept: a quick one ten times a second and more (resident minus shared of /proc/PID/statm, less what the
process held when it was forked, over the tree of the main threads' children), and an exact one at most once a
second (Pss of anonymous and shared memory, where pages shared by n processes count 1/n, over the whole tree).
The exact one takes milliseconds for a large process, so it corrects the quick one instead of replacing it,
and is taken of those that touched pages they had not: a hundred idle replicas cost their launcher nothing.
Files that are read or mapped do not count: the kernel can drop them.
"""

from __future__ import annotations

import time

from argosy.runtime import linux

# An exact measurement may take this share of the launcher's time.
_SHARE = 1 / 200
# Without this many new pages the correction still holds, but for what other processes did to shared ones.
_PAGES = 256
_LONGEST_SECONDS = 30.0


class Meter:
    """``inherited`` is what the process held when it was forked, or 0 when it is replaced by a program."""

    def __init__(self, pid: int, inherited: int) -> None:
        self._pid = pid
        self._inherited = inherited
        self.inherits = inherited > 0
        self._correction = 0
        self._exact_due = time.monotonic() + 1.0
        self._exact_at = float("-inf")
        self._measured: tuple[list[int], int] = ([], 0)
        self._cpu = 0.0
        self._cpu_at = time.monotonic()
        self.peak = 0

    def memory(self) -> int:
        """Bytes held now, quickly."""
        used = max(0, self._quick(linux.descendants(self._pid, all_threads=False)) + self._correction)
        self.peak = max(self.peak, used)
        return used

    def _quick(self, descendants: list[int]) -> int:
        resident, shared = linux.resident_and_shared(self._pid)
        total = max(0, resident - shared - self._inherited)
        for pid in descendants:
            resident, shared = linux.resident_and_shared(pid)
            total += resident - shared
        return total

    def sample(self) -> tuple[float, int]:
        """(cores used since the last sample, bytes held now)."""
        family = [self._pid, *linux.descendants(self._pid, all_threads=True)]
        now = time.monotonic()
        if now >= self._exact_due and self._has_moved(family, now):
            self._correct(family)
            took = time.monotonic() - now
            self._exact_due = now + max(0.9, took / _SHARE)
        return self._cores(family, now), self.memory()

    def _has_moved(self, family: list[int], now: float) -> bool:
        """Whether the last exact measurement is old, or of other processes, or of fewer pages."""
        faults = sum(linux.minor_faults(pid) for pid in family)
        known, before = self._measured
        if family == known and faults - before < _PAGES and now - self._exact_at < _LONGEST_SECONDS:
            return False
        self._measured, self._exact_at = (family, faults), now
        return True

    def _correct(self, family: list[int]) -> None:
        exact = [linux.proportional_memory(pid) for pid in family]
        if exact[0] is not None:
            # The quick figure is of the processes that memory() looks at.
            quick = self._quick(linux.descendants(self._pid, all_threads=False))
            self._correction = sum(size or 0 for size in exact) - quick

    def _cores(self, family: list[int], now: float) -> float:
        cpu = sum(linux.cpu_seconds(pid) for pid in family)
        elapsed = now - self._cpu_at
        cores = max(0.0, cpu - self._cpu) / elapsed if elapsed > 0 else 0.0
        self._cpu, self._cpu_at = cpu, now
        return cores
