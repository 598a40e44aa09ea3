"""Idle processes that stay though nothing uses them."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from pathlib import Path

from argosy.runtime.loop import Loop
from argosy.runtime.pool import Pool
from argosy.runtime.warmth import TemplateKey

from .world import World, program, run

HOUR = 3600.0
IDLE = 2 * (os.cpu_count() or 1)


class _Templates:
    """Processes in the place of templates: they live until they are killed."""

    def __init__(self) -> None:
        self.started: list[subprocess.Popen[bytes]] = []

    def fork(self, commands: socket.socket, key: TemplateKey) -> int:
        process = subprocess.Popen(["sleep", "60"])
        self.started.append(process)
        return process.pid


def test_what_is_kept_stays_and_wants_idle_children_and_what_is_not_goes() -> None:
    templates = _Templates()
    pool = Pool(Loop(), templates.fork, lambda process: None)
    kept, other = TemplateKey(("onnxruntime",)), TemplateKey(("tensorflow",))
    pool.keep([kept])
    pool.warm(other)
    for owner in pool._templates.values():
        owner.used_at -= HOUR
    pool.tend()
    assert list(pool._templates) == [kept]
    assert pool._templates[kept].missing() > 0
    pool.keep([])
    pool._templates[kept].used_at -= HOUR
    pool.tend()
    assert not pool._templates
    assert [process.wait(10) for process in templates.started] == [-9, -9]


def test_what_is_to_be_kept_is_told_to_the_launcher(world: World) -> None:
    """Idle processes that have the library are there before anything asked for them."""

    async def main() -> None:
        async with world.running() as watched:
            watched.runtime.keep_warm(frozenset({("numpy",)}))
            # All of them: one on its way would outlive the launcher for a moment.
            while len([pid for pid in world.processes() if _is_idle_with_numpy(pid)]) < IDLE:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            watched.runtime.keep_warm(frozenset())

    run(main())


def _is_idle_with_numpy(pid: int) -> bool:
    try:
        maps = Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return False
    return program(pid) == "argosy-idle" and "numpy" in maps
