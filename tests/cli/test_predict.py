"""argosy predict and argosy services against a model server that speaks KServe V1."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from .conftest import Command, filtered

LABELS = ["zero", "one", "two", "three"]


class Server(ThreadingHTTPServer):
    """Answers with the last byte of each image as its label, and keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[int] = []
        self.labels = True


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_: Any) -> None:
        return None

    def do_GET(self) -> None:
        labels = {"labels": LABELS} if self.server.labels else {}
        self._answer(200, {"name": "digits", **labels})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        images = [base64.b64decode(instance["b64"]) for instance in body["instances"]]
        self.server.asked.append(len(images))
        for place, image in enumerate(images):
            if image == b"bad":
                error = f"instances[{place}]: this is neither a PNG nor a JPEG"
                return self._answer(400, {"error": error, "code": "invalid_input", "hint": "send a PNG"})
            if image == b"down":
                return self._answer(503, {"error": "member cnn is not ready"})
        predictions = [[0.7 if place == image[-1] else 0.1 for place in range(4)] for image in images]
        return self._answer(200, {"predictions": predictions})

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def digits(shared: Command, server: Server) -> Iterator[Command]:
    """A home with one service, digits, at the server's address, and images of 0 to 3."""
    server.asked.clear()
    server.labels = True
    (shared.home / "gateway.url").write_text(f"http://127.0.0.1:{server.server_port}")
    for number in range(4):
        (shared.folder / f"{number}.png").write_bytes(bytes([9, 9, number]))
    yield shared
    (shared.home / "gateway.url").unlink()


def test_each_image_gets_its_three_most_probable_labels(digits: Command) -> None:
    result = digits("predict", "digits", "2.png", "1.png")
    assert (result.code, result.err) == (0, "")
    assert result.out == (
        "2.png: two 70.0%, zero 10.0%, one 10.0%\n1.png: one 70.0%, zero 10.0%, two 10.0%\n"
    )


def test_json_holds_every_prediction(digits: Command) -> None:
    assert digits("predict", "digits", "3.png", "--json").document == {
        "service": "digits",
        "predictions": [
            {"file": "3.png", "label": "three", "probability": 0.7, "prediction": [0.1, 0.1, 0.1, 0.7]}
        ],
    }


def test_a_service_without_labels_gets_numbers(digits: Command, server: Server) -> None:
    server.labels = False
    assert digits("predict", "digits", "0.png").out.startswith("0.png: class 0 70.0%")


def test_one_model_of_a_service_can_be_asked_by_its_name(digits: Command) -> None:
    assert digits("predict", "digits-cnn", "0.png").code == 0


def test_many_files_go_in_batches(digits: Command, server: Server) -> None:
    result = digits("predict", "digits", *["0.png", "1.png"] * 75)
    assert len(result.out.splitlines()) == 150
    assert server.asked == [64, 64, 22]


def test_a_refused_image_is_named_by_its_file(digits: Command) -> None:
    (digits.folder / "notes.txt").write_bytes(b"bad")
    result = digits("predict", "digits", "0.png", "notes.txt")
    assert result.code == 2
    assert result.err == "error: notes.txt: this is neither a PNG nor a JPEG\nhint: send a PNG\n"
    as_json = digits("predict", "digits", "notes.txt", "--json")
    assert (as_json.code, as_json.document["error"]["context"]["status"]) == (2, 400)


def test_a_service_in_trouble_is_not_the_callers_mistake(digits: Command) -> None:
    (digits.folder / "down.png").write_bytes(b"down")
    result = digits("predict", "digits", "down.png")
    assert result.code == 1
    assert "answered 503: member cnn is not ready" in result.err
    assert "hint: 'argosy services'" in result.err


def test_a_gateway_that_is_gone_is_one_message(digits: Command) -> None:
    (digits.home / "gateway.url").write_text("http://127.0.0.1:9")
    result = digits("predict", "digits", "0.png")
    assert result.code == 1
    assert "does not answer" in result.err


def test_an_unknown_service_names_those_there_are(digits: Command) -> None:
    result = digits("predict", "fashion", "0.png")
    assert (result.code, result.err) == (2, "error: there is no service 'fashion'\nhint: there is digits\n")


def test_a_huge_file_is_not_read(digits: Command, server: Server) -> None:
    with (digits.folder / "huge.png").open("wb") as file:
        file.truncate(2**31)
    result = digits("predict", "digits", "0.png", "huge.png")
    assert result.code == 2
    assert "huge.png has 2048 MiB" in result.err
    assert server.asked == []


def test_services_say_where_and_how_they_are(digits: Command) -> None:
    lines = [line.split() for line in filtered(digits("services").out).splitlines()]
    assert lines == [
        ["SERVICE", "STATE", "REVISION", "REPLICAS", "ADDRESS"],
        ["digits", "ready", "3", "1/2", "http://<gateway>/v1/models/digits:predict"],
        ["digits-cnn", "abababababab", "1/2", "http://<gateway>/v1/models/digits-cnn:predict"],
    ]
    assert digits("services", "--json").document[0]["members"][0]["replicas"][1]["state"] == "starting"


def test_no_services_is_said_on_standard_error(shared: Command) -> None:
    result = shared("services")
    assert (result.code, result.out) == (0, "")
    assert shared("services", "--json").document == []
