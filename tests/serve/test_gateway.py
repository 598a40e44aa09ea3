"""Requests through a real Envoy to real replicas."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
from pathlib import Path

import numpy as np
import pytest

from argosy.serve.http.client import Client

from .harness import asynchronous
from .models import b64, expected, pixels, predict_body
from .stage import stage

pytestmark = pytest.mark.slow


@asynchronous
async def test_a_service_of_one_model_answers_under_its_name_and_its_members(tmp_path: Path) -> None:
    images = pixels(3)
    async with stage(tmp_path) as home:
        change = await home.deploy("digits", "m1")
        assert change.state == "ready"
        assert change.endpoint == {
            "name": "digits",
            "url": f"http://127.0.0.1:{home.port}/v1/models/digits:predict",
        }
        for name in ("digits", "digits.m1"):
            response = await home.ask("POST", f"/v1/models/{name}:predict", predict_body(*images))
            predictions = json.loads(response.body)["predictions"]
            np.testing.assert_allclose(predictions, expected(1, images), rtol=1e-4, atol=1e-7)
            status = await home.ask("GET", f"/v1/models/{name}")
            assert json.loads(status.body)["ready"] is True
        assert "service-digits.r1.router-0" not in home.attempts


@asynchronous
async def test_an_ensemble_answers_the_mean_of_its_members_and_each_member_by_itself(tmp_path: Path) -> None:
    images = pixels(4)
    async with stage(tmp_path) as home:
        await home.deploy("digits", "m1", "m2")
        mean = (expected(1, images) + expected(2, images)) / 2
        for name, answer in [
            ("digits", mean),
            ("digits.m1", expected(1, images)),
            ("digits.m2", expected(2, images)),
        ]:
            response = await home.ask("POST", f"/v1/models/{name}:predict", predict_body(*images))
            assert response.status == 200
            np.testing.assert_allclose(json.loads(response.body)["predictions"], answer, rtol=1e-4, atol=1e-7)
        metadata = json.loads((await home.ask("GET", "/v1/models/digits/metadata")).body)
        assert (metadata["aggregate"], metadata["members"]) == ("mean", ["digits.m1", "digits.m2"])
        listing = json.loads((await home.ask("GET", "/v1/models")).body)
        assert listing == {"models": ["digits", "digits.m1", "digits.m2"]}


@asynchronous
async def test_wrong_requests_are_answered_with_what_is_wrong(tmp_path: Path) -> None:
    async with stage(tmp_path) as home:
        await home.deploy("digits", "m1")
        await home.deploy("both", "m1", "m2")
        not_an_image = json.dumps({"instances": [b64(b"hello")]}).encode()
        for path, body, status, words in [
            ("/v1/models/digits:predict", b"{", 400, "malformed JSON"),
            ("/v1/models/both:predict", b"{", 400, "malformed JSON"),
            ("/v1/models/both:predict", not_an_image, 400, "instances[0]: the image starts with"),
            ("/v1/models/other:predict", b"{}", 404, "services here: both, digits"),
            ("/v1/models/digit:predict", b"{}", 404, "nothing is served at /v1/models/digit:predict"),
            ("/v1/models/digits.m9:predict", b"{}", 404, "services here"),
            ('/else"where', b"{}", 404, "nothing answers POST /else%22where"),
            ("/v1/models/both", b"{}", 405, "use GET"),
            ("/v1/models/digits", b"{}", 405, "use GET"),
        ]:
            response = await home.ask("POST", path, body)
            document = json.loads(response.body)
            assert (response.status, response.headers[b"content-type"]) == (status, b"application/json")
            assert words in f"{document['error']} {document.get('hint')}", document


@asynchronous
async def test_what_the_gateway_itself_refuses_is_answered_in_json(tmp_path: Path) -> None:
    async with stage(tmp_path) as home:
        await home.deploy("digits", "m1")
        for request, status, words in [
            (b"GET /v1/models/digits HTTP/1.1\r\n\r\n", 400, b"send a Host header"),
            (b"GET /v1%2Fmodels HTTP/1.1\r\nhost: x\r\n\r\n", 400, b"a path without %2F"),
            (
                b"GET /v1 HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
                403,
                b"can not be upgraded",
            ),
            (b"GET /v1/models HTTP/1.0\r\n\r\n", 200, b"digits"),
        ]:
            reader, writer = await asyncio.open_connection("127.0.0.1", home.port)
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            body = await reader.readuntil(b"}")
            writer.close()
            assert int(head.split()[1]) == status
            assert b"content-type: application/json" in head
            assert words in body


@asynchronous
async def test_a_length_that_no_64_bits_hold_is_refused_before_the_body_comes(tmp_path: Path) -> None:
    async with stage(tmp_path) as home:
        await home.deploy("digits", "m1")
        for length in (2**25 + 1, 2**63 - 1, 2**63, 2**64 - 1):
            reader, writer = await asyncio.open_connection("127.0.0.1", home.port)
            head = f"POST /v1/models/digits:predict HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n"
            writer.write(head.encode())
            assert (await reader.readline()).split()[1] == b"413"
            writer.close()


@asynchronous
async def test_a_request_of_50_megabytes_is_refused_at_once(tmp_path: Path) -> None:
    async with stage(tmp_path) as home:
        await home.deploy("digits", "m1")

        def send(headers: dict[str, str], chunked: bool) -> tuple[int, bytes]:
            connection = http.client.HTTPConnection("127.0.0.1", home.port, timeout=20)
            body = bytes(50_000_000)
            # The answer may come, and the connection end, before all of the body is sent.
            with contextlib.suppress(ConnectionError):
                connection.request(
                    "POST",
                    "/v1/models/digits:predict",
                    iter([body]) if chunked else body,
                    headers,
                    encode_chunked=chunked,
                )
            with contextlib.closing(connection):
                response = connection.getresponse()
                return response.status, response.read()

        for headers, chunked in [({}, False), ({"Transfer-Encoding": "chunked"}, True)]:
            started = asyncio.get_running_loop().time()
            status, body = await asyncio.to_thread(send, headers, chunked)
            assert (status, json.loads(body)["code"]) == (413, "too_large")
            assert asyncio.get_running_loop().time() - started < 5
        response = await home.ask("POST", "/v1/models/digits:predict", predict_body(pixels()[0]))
        assert response.status == 200


@asynchronous
async def test_a_large_request_within_the_limit_is_answered(tmp_path: Path) -> None:
    images = pixels(2000)
    body = json.dumps({"instances": images.tolist()}).encode()
    async with stage(tmp_path) as home:
        await home.deploy("digits", "m1", "m2")
        response = await home.ask("POST", "/v1/models/digits:predict", body)
    mean = (expected(1, images) + expected(2, images)) / 2
    np.testing.assert_allclose(json.loads(response.body)["predictions"], mean, rtol=1e-4, atol=1e-7)


@asynchronous
async def test_neither_the_admin_interface_nor_health_of_replicas_is_reachable(tmp_path: Path) -> None:
    async with stage(tmp_path) as home:
        await home.deploy("digits", "m1")
        for path in ("/stats", "/quitquitquit", "/config_dump", "/readyz", "/v1/models/digits/../../stats"):
            assert (await home.ask("POST", path)).status in (400, 404)
        internal = await home.ask("GET", "/v1/models/digits", host="r1.digits")
        assert internal.headers[b"x-argosy-revision"] == b"1"
        socket_file = home.home.run / "admin.sock"
        assert socket_file.stat().st_mode & 0o077 == 0


@asynchronous
async def test_a_busy_port_gives_the_next_one_and_it_is_kept(tmp_path: Path) -> None:
    async with stage(tmp_path) as home:
        with socket.create_server(("127.0.0.1", home.port)):
            change = await home.deploy("digits", "m1")
            port = home.gateway_port
            assert port > home.port
            assert change.endpoint["url"].startswith(f"http://127.0.0.1:{port}/")
        home.runner.kill(next(one for one in home.attempts if one == "gateway-envoy"))
        await home.state("digits", "degraded")
        await home.state("digits", "ready")
        assert home.gateway_port == port


@asynchronous
async def test_an_ensemble_names_the_member_that_does_not_answer(tmp_path: Path) -> None:
    async with stage(tmp_path) as home:
        await home.deploy("digits", "m1", "m2")
        # With its folder gone the member can not come back.
        (home.root / "models" / "m2").rename(home.root / "models" / "gone")
        home.runner.kill(next(one for one in home.attempts if ".m2." in one))
        await home.state("digits", "failed")
        client = Client(home.gateway_port)
        response = await client.request(
            "POST", "/v1/models/digits:predict", predict_body(pixels()[0]), timeout_seconds=10
        )
        client.close()
        document = json.loads(response.body)
        assert (response.status, document["code"]) == (503, "member_failed")
        assert "member 'digits.m2' of the ensemble did not answer" in document["error"]
        assert "model 'm2' does not start: " in document["error"]
        alone = await home.ask("POST", "/v1/models/digits.m1:predict", predict_body(pixels()[0]))
        assert alone.status == 200
