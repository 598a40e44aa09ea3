"""HTTP over the control plane's unix socket."""

from __future__ import annotations

import http.client
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec

from argosy import __version__, errors
from argosy.api.codec import error_from_view
from argosy.api.limits import VERSION_HEADER
from argosy.api.views import ErrorView
from argosy.home import Home

_LONGEST_ADDRESS = 107
_CHUNK = 65536


class NotRunning(errors.Unavailable):
    """No control plane listens on this home."""


class ConnectionLost(errors.Unavailable):
    """The control plane went away in the middle of an answer."""


class Transport:
    """One connection a request. ``timeout_seconds`` bounds each silence, not the whole answer."""

    def __init__(self, home: Home, timeout_seconds: float = 30.0) -> None:
        self.home = home
        self._timeout = timeout_seconds

    def request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """The body of a successful answer. Raises the error that the control plane answered with, NotRunning,
        or ConnectionLost."""
        connection, response = self._open(method, path, body)
        try:
            return response.read()
        except (OSError, http.client.HTTPException) as error:
            raise self._lost(error) from error
        finally:
            connection.close()

    def lines(self, path: str, method: str = "GET", body: bytes | None = None) -> Iterator[bytes]:
        """The documents of an NDJSON answer. Raises as :meth:`request` does, also after the first of them."""
        connection, response = self._open(method, path, body)
        rest = b""
        try:
            while chunk := response.read1(_CHUNK):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in filter(None, lines):
                    _raise_if_error(line)
                    yield line
        except (OSError, http.client.HTTPException) as error:
            raise self._lost(error) from error
        finally:
            connection.close()

    def _open(
        self, method: str, path: str, body: bytes | None
    ) -> tuple[_UnixConnection, http.client.HTTPResponse]:
        connection = _UnixConnection(self.home, self._timeout)
        headers = {VERSION_HEADER: __version__}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            if response.status == http.HTTPStatus.METHOD_NOT_ALLOWED:
                raise _other_version(f"{method} {path}")
            if response.status >= 400:
                raise _error_of(response)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self._lost(error) from error
        except BaseException:
            connection.close()
            raise
        return connection, response

    def _lost(self, error: Exception) -> ConnectionLost:
        silent = isinstance(error, TimeoutError)
        what = f"said nothing for {self._timeout:.0f} s" if silent else "went away"
        return ConnectionLost(
            f"the control plane of {self.home.root} {what}",
            hint=f"{self.home.logs / 'control.log'} tells what it did last; 'argosy up' starts it again",
        )


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, home: Home, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._home = home

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        try:
            connect_unix(self.sock, self._home.control_socket)
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError) as error:
            raise NotRunning(
                f"no control plane runs on {self._home.root}", hint="start it with 'argosy up'"
            ) from error
        except PermissionError as error:
            raise errors.Unavailable(
                f"{self._home.control_socket} may not be opened by this user",
                hint="use the home of a control plane of your own: set ARGOSY_HOME",
            ) from error


def connect_unix(sock: socket.socket, path: Path) -> None:
    """Connect, however long the path: an address holds 107 bytes, so a longer one goes by its open folder."""
    if len(os.fsencode(path)) <= _LONGEST_ADDRESS:
        sock.connect(str(path))
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        sock.connect(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)


def _other_version(request: str) -> errors.Conflict:
    """Every method that the client uses is known to a control plane of the same source."""
    return errors.Conflict(
        f"the control plane that runs is of another version of Argosy: it does not know {request}",
        hint="stop it with 'argosy down'; the next command or 'argosy up' starts this version",
    )


def _error_of(response: http.client.HTTPResponse) -> errors.ArgosyError:
    body = response.read()
    try:
        view = msgspec.json.decode(body, type=ErrorView)
    except msgspec.MsgspecError:
        view = ErrorView("error", f"the control plane answered {response.status} {response.reason}")
    return error_from_view(view, response.status)


def _raise_if_error(line: bytes) -> None:
    if line.startswith(b'{"error":{'):
        raise error_from_view(msgspec.json.decode(line, type=dict[str, ErrorView])["error"])


def connectable(home: Home) -> bool:
    """Whether something listens on the home's control socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        try:
            connect_unix(sock, home.control_socket)
        except OSError:
            return False
    return True
