"""Models from a folder made services by a real control plane, with real processes and Envoy."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from argosy.api.serving import PromoteRequest, ServeProgress, ServeRequest
from argosy.api.views import ServiceView
from argosy.client.client import ControlClient
from argosy.errors import ArgosyError, Conflict, InvalidInput, InvalidRequest, NotFound, RunFailed
from argosy.flow.service_options import Ensemble, FunctionReference, ServiceOptions
from argosy.home import Home

from .models import make_model, pixels, predict_body
from .planes import plane, start_plane, stop_plane

pytestmark = pytest.mark.slow
T = TypeVar("T")
OUTSIDE = ServiceOptions(ensemble=Ensemble(function=FunctionReference("../..", "os", "system")))


def until(look: Callable[[], T | None], what: str, seconds: float = 30.0) -> T:
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        threading.Event().wait(0.02)
    return found


def last(client: ControlClient, request: ServeRequest) -> ServeProgress:
    *_, progress = client.serve(request)
    return progress


def ask(service: ServiceView) -> int:
    request = urllib.request.Request(service.url, predict_body(pixels()[0]), method="POST")
    with urllib.request.urlopen(request, timeout=10) as response:
        return int(response.status)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlClient]:
    with plane(Home(tmp_path_factory.mktemp("serving") / "home")) as running:
        yield running


def test_a_model_directory_becomes_a_service_that_answers(client: ControlClient, tmp_path: Path) -> None:
    model = make_model(tmp_path / "plain", 1)
    stages = [progress.stage for progress in client.serve(ServeRequest("plain", [str(model)], user="ada"))]
    assert stages[0] == "importing"
    assert stages[-1] == "ready"
    service = client.service("plain")
    assert (service.state, ask(service)) == ("ready", 200)
    again = last(client, ServeRequest("plain", [str(model)]))
    assert again.stage == "unchanged"
    assert "nothing was changed" in again.message
    assert client.service("plain").revision == service.revision
    digest = service.members[0].digest
    stored = last(client, ServeRequest("stored", [f"artifact:{digest[:12]}"]))
    assert stored.service is not None
    assert stored.service.members[0].digest == digest


def test_several_models_answer_as_one(client: ControlClient, tmp_path: Path) -> None:
    models = [str(make_model(tmp_path / f"m{seed}", seed)) for seed in (1, 2)]
    done = last(client, ServeRequest("pair", models))
    assert done.service is not None
    assert len({member.name for member in done.service.members}) == 2
    assert ask(done.service) == 200


def test_a_model_that_can_not_be_imported_leaves_nothing_behind(
    client: ControlClient, tmp_path: Path
) -> None:
    model = make_model(tmp_path / "damaged", 1)
    (model / "model.onnx").write_bytes(b"damaged")
    with pytest.raises(InvalidInput):
        last(client, ServeRequest("damaged", [str(model)]))
    _nothing_is_left(client, "damaged")


def test_a_model_that_never_answers_leaves_nothing_behind(client: ControlClient, tmp_path: Path) -> None:
    model = make_model(tmp_path / "unready", 1)
    (model / "preprocessing.json").write_text('{"kind": "image", "height": 9, "width": 9}')
    with pytest.raises((RunFailed, InvalidInput)):
        last(client, ServeRequest("unready", [str(model)]))
    _nothing_is_left(client, "unready")


def _nothing_is_left(client: ControlClient, name: str) -> None:
    until(lambda: all(service.name != name for service in client.services()), "the service to be gone")
    assert not list((client.home.work / "imports").iterdir())


@pytest.mark.parametrize(
    ("request_", "kind", "words"),
    [
        (ServeRequest("a", ["relative"]), InvalidRequest, "not an absolute path"),
        (ServeRequest("a", []), InvalidRequest, "no model to serve"),
        (ServeRequest("A_B", ["/x"]), InvalidRequest, "is not a name"),
        (ServeRequest("a", ["/a\0b"]), InvalidRequest, "not an absolute path"),
        (
            ServeRequest("a", ["MODEL"], aggregate="function", options=OUTSIDE),
            InvalidRequest,
            "which is not here",
        ),
        (ServeRequest("a", ["artifact:ffff"]), NotFound, "no model artifact 'ffff'"),
        (ServeRequest("a", ["/x"], replicas=(3, 1)), InvalidRequest, "3 to 1 replicas"),
        (ServeRequest("a", ["/x", "/y"], watch=True), InvalidRequest, "one folder of versions"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_done(
    client: ControlClient, request_: ServeRequest, kind: type[ArgosyError], words: str, tmp_path: Path
) -> None:
    if request_.models == ["MODEL"]:
        request_ = replace(request_, models=[str(make_model(tmp_path / "m", 1))])
    with pytest.raises(kind) as caught:
        last(client, request_)
    assert words in caught.value.message


def test_a_model_without_versions_can_not_be_watched(client: ControlClient, tmp_path: Path) -> None:
    model = make_model(tmp_path / "unnumbered", 1)
    with pytest.raises(InvalidRequest, match="nothing to watch"):
        last(client, ServeRequest("unnumbered", [str(model)], watch=True))


def test_of_two_who_make_the_same_service_one_is_told_and_one_serves(
    client: ControlClient, tmp_path: Path
) -> None:
    models = [str(make_model(tmp_path / f"race-{seed}", seed)) for seed in (3, 4)]
    for number, model in enumerate(models):
        last(client, ServeRequest(f"warm-up-{number}", [model]))
    first = client.serve(ServeRequest("race", models[:1]))
    assert next(first).stage == "starting"
    second = last(client, ServeRequest("race", models[1:]))
    assert second.stage == "ready"
    with contextlib.suppress(Conflict):
        list(first)
    service = client.service("race")
    assert (service.state, ask(service)) == ("ready", 200)


def test_who_hangs_up_ends_the_import_without_a_trace(client: ControlClient, tmp_path: Path) -> None:
    model = make_model(tmp_path / "abandoned", 7)
    lines = client.serve(ServeRequest("abandoned", [str(model)]))
    assert next(lines).stage == "importing"
    lines.close()  # type: ignore[attr-defined]
    imports = client.home.work / "imports"
    until(lambda: not imports.is_dir() or not list(imports.iterdir()), "the import to be over")


def test_a_newer_version_in_a_folder_is_deployed_and_a_broken_one_is_told(tmp_path: Path) -> None:
    home, versions = Home(tmp_path / "home"), tmp_path / "versions"
    make_model(versions / "1", 1)
    with plane(home) as client:
        done = last(client, ServeRequest("numbered", [str(versions)]))
        assert done.service is not None
        first = done.service.members[0].digest
        _publish(versions, tmp_path, 2)
        second = until(lambda: _digest_other_than(client, {first}), "version 2")
        broken = _publish(versions, tmp_path, 3, damage=True)
        reason = until(lambda: client.service("numbered").reason, "the reason")
        assert "version 3 is not deployed" in reason
        assert (client.service("numbered").state, ask(client.service("numbered"))) == ("ready", 200)
        assert client.service("numbered").members[0].digest == second
    process = start_plane(home)
    try:
        client = ControlClient(home)
        until(lambda: client.service("numbered").state == "ready", "the service to be back")
        shutil.rmtree(broken)
        _publish(versions, tmp_path, 4)
        until(lambda: _digest_other_than(client, {first, second}), "version 4 after a restart")
        client.delete_service("numbered")
        assert (home.root / "watches.json").read_bytes() == b"[]"
    finally:
        stop_plane(home, process)


def _publish(versions: Path, scratch: Path, number: int, *, damage: bool = False) -> Path:
    """A version that is there at once."""
    made = make_model(scratch / f"made-{number}", number)
    if damage:
        (made / "model.onnx").write_bytes(b"damaged")
    return made.rename(versions / str(number))


def _digest_other_than(client: ControlClient, known: set[str]) -> str:
    service = client.service("numbered")
    digest = service.members[0].digest if service.members else ""
    return digest if digest and digest not in known and service.state == "ready" else ""


def test_a_revision_that_is_not_there_can_not_be_promoted(client: ControlClient, tmp_path: Path) -> None:
    last(client, ServeRequest("single", [str(make_model(tmp_path / "single", 1))]))
    with pytest.raises(NotFound, match="has no revision 9"):
        client.promote("single", PromoteRequest(9))
    with pytest.raises(NotFound, match="no service 'singel'") as caught:
        client.promote("singel", PromoteRequest(1))
    assert caught.value.hint == "did you mean 'single'?"
