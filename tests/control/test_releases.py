"""Revisions held, compared, promoted and rolled back by a real control plane, and tokens it hands out."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from argosy.api.serving import (
    HeaderRequest,
    PromoteRequest,
    RollbackRequest,
    ScaleRequest,
    ServeRequest,
    ShareRequest,
    TokenRequest,
    TrafficRequest,
)
from argosy.client.client import ControlClient
from argosy.data.manifest import Column
from argosy.data.writer import DatasetWriter
from argosy.errors import Conflict, InvalidRequest
from argosy.flow.service_options import Release, ReleaseMode, ServiceOptions
from argosy.home import Home

from .models import expected, make_model, pixels, predict_body
from .planes import plane

pytestmark = pytest.mark.slow
HOLD = ServiceOptions(release=Release(ReleaseMode.HOLD, 0))


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlClient]:
    """Revision 1 of the service digits serves; revision 2, another model, is held."""
    folder = tmp_path_factory.mktemp("releases")
    with plane(Home(folder / "home")) as running:
        for seed in (1, 2):
            model = str(make_model(folder / f"m{seed}", seed))
            options = ServiceOptions() if seed == 1 else HOLD
            *_, last = running.serve(ServeRequest("digits", [model], options=options, user="ada"))
            assert last.stage == "ready"
        assert "revision 2 is ready and gets no requests" in last.message
        yield running


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images that the second model, and hardly the first, has right."""
    folder = tmp_path_factory.mktemp("dataset") / "data"
    images = pixels(200)
    writer = DatasetWriter(folder, {"images": Column("uint8", (28, 28)), "labels": Column("uint8", ())})
    writer.append("validation", {"images": images, "labels": expected(2, images).argmax(1).astype(np.uint8)})
    writer.finish(name="seconds")
    return folder


def answer(client: ControlClient, **headers: str) -> str:
    """Which revision answers."""
    url = client.service("digits").url
    request = urllib.request.Request(url, predict_body(pixels()[0]), headers)
    with urllib.request.urlopen(request, timeout=10) as response:
        assert json.load(response)["predictions"]
        return str(response.headers["x-argosy-revision"])


def test_a_better_revision_takes_over_with_its_figures_and_a_worse_one_does_not(
    client: ControlClient, dataset: Path
) -> None:
    with pytest.raises(InvalidRequest, match="can not be compared"):
        client.promote("digits", PromoteRequest(2))
    assert answer(client) == "1"
    promoted = client.promote("digits", PromoteRequest(2, data=str(dataset), user="eve"))
    assert "accuracy 1.0000 of revision 2" in promoted.message
    assert answer(client) == "2"
    release = promoted.service.releases[-1]
    assert (release.action, release.traffic, release.user) == ("promote", {"2": 100}, "eve")
    assert "200 right" in release.reason
    with pytest.raises(Conflict, match="is not promoted: accuracy"):
        client.promote("digits", PromoteRequest(1, data=str(dataset)))
    assert answer(client) == "2"
    back = client.roll_back("digits", RollbackRequest("eve"))
    assert back.message == "service digits: revision 1 gets 100 %; before, revision 2 gets 100 %"
    assert answer(client) == "1"


def test_requests_are_split_and_led_by_a_header(client: ControlClient) -> None:
    asked = TrafficRequest([ShareRequest(1, 100)], [HeaderRequest("x-beta", "yes", 2)])
    client.set_traffic("digits", asked)
    assert (answer(client), answer(client, **{"x-beta": "yes"})) == ("1", "2")
    assert client.set_traffic("digits", asked).message.endswith("already, nothing was changed")
    assert client.scale("digits", ScaleRequest(1, 2)).service.replicas == (1, 2)


def test_a_token_is_good_until_it_is_revoked(client: ControlClient) -> None:
    created = client.create_token(TokenRequest("ada", tier="gold"))
    header = {"Authorization": f"Bearer {created.text}"}
    assert answer(client, **header) in ("1", "2")
    assert client.revoke_token(created.record.token).state == "revoked"
    status = 200
    for _ in range(200):
        try:
            answer(client, **header)
        except urllib.error.HTTPError as error:
            status = error.code
            error.close()
            break
    assert status == 401
    with pytest.raises(Conflict, match="was revoked already"):
        client.revoke_token(created.record.token)
