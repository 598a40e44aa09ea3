"""Waiting, for moments, until Envoy works by what was written.

Each of its files has a watch of its own, and a busy Envoy reads them in any order. Routes that lead to
clusters it has not read of are failed requests, so what is needed is read before what needs it is written.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
from collections.abc import Iterator

CLUSTERS = "cluster_manager.cds.version_text"
PUBLIC_ROUTES = "http.public.rds.public.version_text"

_LONGEST_SECONDS = 0.2
_PAUSE_SECONDS = 0.002


def await_version(admin_socket: str, statistic: str, version: str) -> bool:
    """Whether Envoy works by that version. Blocks for 0.2 s at the most, for no time without an Envoy."""
    deadline = time.monotonic() + _LONGEST_SECONDS
    with contextlib.suppress(OSError, http.client.HTTPException), _admin(admin_socket) as connection:
        while time.monotonic() < deadline:
            connection.request("GET", f"/stats?type=TextReadouts&filter=^{statistic}$")
            if f'"{version}"'.encode() in connection.getresponse().read():
                return True
            time.sleep(_PAUSE_SECONDS)
    return False


@contextlib.contextmanager
def _admin(path: str) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("localhost")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as plain:
        plain.settimeout(_LONGEST_SECONDS)
        plain.connect(path)
        connection.sock = plain
        yield connection
