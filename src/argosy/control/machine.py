"""What this machine has to share."""

from __future__ import annotations

import os

from argosy.schedule.model import Capacity

# Of the memory, so much is left to the operating system and to Argosy itself.
_MEMORY_SHARE = 0.9


def machine_capacity() -> Capacity:
    """Cores this process may use and nine tenths of the memory. ``ARGOSY_CPU`` overrides the cores."""
    pages, page_size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    cores = float(os.environ.get("ARGOSY_CPU") or len(os.sched_getaffinity(0)))
    return Capacity(cpu=cores, memory=int(pages * page_size * _MEMORY_SHARE))
