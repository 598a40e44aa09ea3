"""The typed client against servers that behave, die, fall silent, and speak strangely."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from argosy import errors
from argosy.api.codec import Stopping, encode, error_from_view, error_view
from argosy.api.process import is_alive, read_control_process
from argosy.api.views import ErrorView, LogLine, RunRequest, RunView
from argosy.client import bootstrap
from argosy.client.bootstrap import ensure_control_plane
from argosy.client.client import ControlClient, SeenLines
from argosy.client.stopping import stop_control_plane
from argosy.client.transport import ConnectionLost, NotRunning
from argosy.home import Home

HERE = Path(__file__).parent
RUN = RunView("r-1", "hello", "running", 1.0)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.run.mkdir(parents=True)
    return home


@contextmanager
def server(home: Home, *answers: bytes) -> Iterator[None]:
    """Gives each connection the next answer, byte for byte, and closes it; an empty answer is silence."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(home.control_socket))
        listener.listen()
        over = threading.Event()

        def serve() -> None:
            for answer in answers:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer) if answer else over.wait(30)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def chunked(*parts: bytes, end: bool = True) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    return head + body + (b"0\r\n\r\n" if end else b"")


def whole(status: str, body: bytes) -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


def test_no_socket_and_a_dead_socket_mean_that_nothing_runs(home: Home) -> None:
    with pytest.raises(NotRunning) as none:
        ControlClient(home).status()
    assert none.value.hint == "start it with 'argosy up'"
    with server(home):
        pass
    with pytest.raises(NotRunning):
        ControlClient(home).status()


def test_a_document_split_anywhere_is_put_together(home: Home) -> None:
    line = encode(RUN) + b"\n"
    done = encode(RunView("r-1", "hello", "succeeded", 1.0)) + b"\n"
    with server(home, chunked(line[:7], line[7:] + b"\n\n" + done[:3], done[3:])):
        assert [view.state for view in ControlClient(home).watch("r-1")] == ["running", "succeeded"]


@pytest.mark.parametrize("clean", [True, False], ids=["a stream that just ends", "a stream that breaks off"])
def test_a_watch_that_ends_before_the_run_is_a_lost_connection(home: Home, clean: bool) -> None:
    with server(home, chunked(encode(RUN) + b"\n", end=clean)):
        views = ControlClient(home).watch("r-1")
        assert next(views) == RUN
        with pytest.raises(ConnectionLost):
            next(views)


def test_a_silent_control_plane_is_given_up_after_the_timeout(home: Home) -> None:
    with server(home, b""), pytest.raises(ConnectionLost, match="said nothing"):
        ControlClient(home, timeout_seconds=0.05).status()


def test_an_error_at_the_end_of_a_stream_is_raised(home: Home) -> None:
    last = encode({"error": error_view(Stopping("stopping"))}) + b"\n"
    with server(home, chunked(encode(RUN) + b"\n", last)), pytest.raises(Stopping):
        list(ControlClient(home).watch("r-1"))


def test_an_answer_that_is_not_ours_is_one_error(home: Home) -> None:
    with server(home, whole("200 OK", b"{}"), whole("502 Bad", b"<html>"), b"SSH-2.0-OpenSSH\r\n\r\n"):
        with pytest.raises(errors.ArgosyError, match="could not be read"):
            ControlClient(home).status()
        with pytest.raises(errors.ArgosyError, match="502 Bad"):
            ControlClient(home).status()
        with pytest.raises(ConnectionLost):
            ControlClient(home).status()


def test_a_control_plane_that_does_not_know_a_method_is_of_another_version(home: Home) -> None:
    refusal = whole("405 Method Not Allowed", b'{"code":"invalid_request","message":"Method Not Allowed"}')
    with server(home, refusal), pytest.raises(errors.Conflict, match="another version") as raised:
        ControlClient(home).status()
    assert "argosy down" in raised.value.hint


def test_fields_of_a_later_version_are_passed_over(home: Home) -> None:
    with server(home, whole("200 OK", encode(RUN)[:-1] + b',"colour":"blue"}')):
        assert ControlClient(home).run("r-1") == RUN


def test_a_graph_over_the_limit_is_refused_before_it_is_sent(home: Home) -> None:
    with pytest.raises(errors.TooLarge, match="MiB"):
        ControlClient(home).submit(RunRequest({}, {"big.py": "x" * (33 * 2**20)}))


@pytest.mark.parametrize(
    "error",
    [
        errors.InvalidRequest("a", hint="b", context={"c": 1}),
        errors.InvalidGraph(
            [errors.Problem("rule", "what", "mend", "file:1"), errors.Problem("rule", "and")]
        ),
        errors.InvalidInput("a"),
        errors.NotFound("a"),
        errors.Conflict("a"),
        errors.TooLarge("a"),
        errors.Unavailable("a"),
        errors.CorruptArtifact("a"),
        errors.RunFailed("a"),
        Stopping("a"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_arrives_as_the_class_it_was_raised_as(error: errors.ArgosyError) -> None:
    arrived = error_from_view(error_view(error))
    assert type(arrived) is type(error)
    assert arrived.to_json() == error.to_json()


@pytest.mark.parametrize(("status", "exit_code"), [(418, 2), (500, 1)])
def test_an_error_of_an_unknown_code_is_what_its_status_says(status: int, exit_code: int) -> None:
    assert error_from_view(ErrorView("tomorrow", "new"), status).exit_code == exit_code


def test_lines_that_come_again_are_dropped_for_each_rank_by_itself() -> None:
    seen = SeenLines()
    first = [LogLine("n", "a", 0, "x"), LogLine("n", "a", 1, "x"), LogLine("n", "a", 0, "x")]
    again = [LogLine("n", "a", 1, "x"), *first[::2], LogLine("n", "a", 1, "y"), LogLine("n", "a", 0, "z")]
    assert [seen.is_new(line) for line in first] == [True, True, True]
    seen.start_again()
    assert [line.text for line in again if seen.is_new(line)] == ["y", "z"]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """The fake control plane in place of the real one; call it with how its start should go."""
    monkeypatch.setattr(bootstrap, "CONTROL_MODULE", "fake_control")
    source, cli = HERE.parent.parent / "src", HERE.parent / "cli"
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(source), str(cli))))
    return lambda start: monkeypatch.setenv("FAKE_START", start)


def test_a_control_plane_is_started_used_and_stopped(home: Home, fake: Callable[[str], None]) -> None:
    said: list[str] = []
    client = ensure_control_plane(home, started=lambda: said.append("started"))
    process = read_control_process(home)
    assert process is not None
    assert client.status().pid == process.pid
    ensure_control_plane(home, started=lambda: said.append("started"))
    assert said == ["started"]
    stopped = stop_control_plane(home)
    assert stopped is not None
    assert stopped.pid == process.pid
    assert not is_alive(process)
    assert stop_control_plane(home) is None


def test_a_control_plane_that_never_answers_is_not_waited_for_without_end(
    home: Home, fake: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake("mute")
    monkeypatch.setattr(bootstrap, "START_SECONDS", 0.3)
    with pytest.raises(errors.Unavailable, match="did not start within"):
        ensure_control_plane(home)
    pid = _wait_for_start(home)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _wait_for_start(home: Home) -> int:
    """The pid of the child: it may still have to write it."""
    starts = home.root / "starts"
    while not (starts.exists() and starts.read_text().endswith("\n")):
        os.sched_yield()
    return int(starts.read_text())
