"""Idle processes that stay though nothing uses them."""

from __future__ import annotations

import socket
import subprocess

from argosy.runtime.loop import Loop
from argosy.runtime.pool import Pool
from argosy.runtime.warmth import TemplateKey

HOUR = 3600.0


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
