"""Ports for the ranks of a gang, kept free of anyone else until the gang ends."""

from __future__ import annotations

import socket

HOST = "127.0.0.1"


class Reservation:
    """``count`` ports, each held by a bound socket that never listens.

    A rank can bind its port all the same, whether its server sets SO_REUSEADDR or SO_REUSEPORT (gRPC sets one
    or both), while the kernel gives the port to nobody who asks for any.
    """

    def __init__(self, count: int) -> None:
        self._sockets: list[socket.socket] = []
        try:
            for _ in range(count):
                self._reserve()
        except OSError:
            self.release()
            raise

    def _reserve(self) -> None:
        held = socket.socket()
        self._sockets.append(held)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind((HOST, 0))

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(f"{HOST}:{held.getsockname()[1]}" for held in self._sockets)

    def release(self) -> None:
        for held in self._sockets:
            held.close()
        self._sockets.clear()
