"""Whether a revision may take over: by what training recorded, by a dataset, or by force."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from argosy.api.serving import HeaderRequest, PromoteRequest, ShareRequest, TrafficRequest
from argosy.api.views import MemberView, ReleaseView, ReplicaView, RevisionView, ServiceView
from argosy.artifacts.handles import Dataset, Model
from argosy.artifacts.reference import Stored
from argosy.artifacts.store import ArtifactStore
from argosy.control.changing import check_replicas, check_traffic, has_moved, is_traffic, traffic_text
from argosy.control.promoting import Promotion
from argosy.data.manifest import Column
from argosy.data.writer import DatasetWriter
from argosy.errors import ArgosyError, Conflict, InvalidInput, InvalidRequest, NotFound
from argosy.home import Home
from argosy.metadata.records import ArtifactRecord
from argosy.metadata.store import MetadataStore


class Tasks:
    """Notes which dataset the revisions would be asked for, and says what they would have answered."""

    def __init__(self) -> None:
        self.payloads: list[dict[str, Any]] = []

    async def run(
        self, kind: str, module: str, function: str, payload: dict[str, Any], seconds: float
    ) -> None:
        self.payloads.append(payload)
        found = {"rows": 1000, "serving_right": 900, "candidate_right": 880, "agreed": 870}
        Path(payload["result"]).write_text(json.dumps(found))


class World:
    """Stores of a home, and a service with models of given cards."""

    def __init__(self, root: Path) -> None:
        self.root, self.home, self.tasks = root, Home(root / "home"), Tasks()
        self.home.work.mkdir(parents=True)
        self.store = MetadataStore.open(self.home.database)
        self.artifacts = ArtifactStore(self.home.artifacts)
        self.promotion = Promotion(self.home, self.store, self.artifacts, self.tasks)  # type: ignore[arg-type]

    def model(self, name: str, **card: Any) -> str:
        folder = self.root / name
        folder.mkdir()
        (folder / "argosy.json").write_text(json.dumps({"name": name, "metrics": {}, **card}))
        stored = self.artifacts.put(Model(folder), "model")
        assert isinstance(stored, Stored)
        return stored.reference.digest

    def dataset(self) -> str:
        folder = self.root / "data"
        writer = DatasetWriter(folder, {"images": Column("uint8", (2, 2)), "labels": Column("uint8", ())})
        writer.append("validation", {"images": np.zeros((3, 2, 2), "u1"), "labels": np.zeros(3, "u1")})
        writer.finish(name="tiny")
        stored = self.artifacts.put(Dataset(folder), "dataset")
        assert isinstance(stored, Stored)
        self.store.write([ArtifactRecord(stored.reference.digest, "dataset", stored.reference.size, 1.0)])
        return stored.reference.digest

    def reason(self, view: ServiceView, request: PromoteRequest) -> str:
        return asyncio.run(self.promotion.reason(view, request))

    def dataset_asked(self) -> str:
        return str(self.tasks.payloads[-1]["dataset"])


@pytest.fixture
def world(tmp_path: Path) -> Any:
    made = World(tmp_path)
    yield made
    made.store.close()


def revision(number: int, digest: str = "", percent: int = 0, state: str = "standby") -> RevisionView:
    replicas = [] if state == "standby" and not digest else [ReplicaView(f"m{number}", "ready")]
    members = [MemberView(f"digits.m{number}", "m", digest or "0" * 64, "", replicas)]
    return RevisionView(number, state, number, percent, 1.0, members=members)


def service(*revisions: RevisionView) -> ServiceView:
    return ServiceView("digits", "ready", 1, "", "", 1.0, revisions=list(revisions))


def two(world: World, serving: dict[str, Any], candidate: dict[str, Any]) -> ServiceView:
    return service(
        revision(1, world.model("one", **serving), 100, "serving"),
        revision(2, world.model("two", **candidate)),
    )


def test_without_a_dataset_what_training_recorded_decides(world: World) -> None:
    metrics = [{"metrics": {"validation_accuracy": value}} for value in (0.9, 0.898)]
    view = two(world, *metrics)
    assert world.reason(view, PromoteRequest(2)).startswith(
        "recorded validation_accuracy 0.8980 beside 0.9000"
    )
    with pytest.raises(Conflict, match=r"0\.8980 beside 0\.9000.*worse by 0\.0020") as caught:
        world.reason(view, PromoteRequest(2, margin=0.001))
    assert "--force" in caught.value.hint
    assert world.tasks.payloads == []


def test_with_nothing_to_compare_by_it_says_what_would_help(world: World) -> None:
    with pytest.raises(InvalidRequest, match="can not be compared") as caught:
        world.reason(two(world, {}, {}), PromoteRequest(2))
    assert "--data DATASET" in caught.value.hint
    assert "--force" in caught.value.hint


def test_the_dataset_a_model_was_trained_on_is_the_one_both_are_asked_for(world: World) -> None:
    digest = world.dataset()
    view = two(world, {}, {"dataset": digest})
    with pytest.raises(Conflict, match=r"accuracy 0\.8800 of revision 2 beside 0\.9000 of revision 1"):
        world.reason(view, PromoteRequest(2))
    assert digest in world.dataset_asked()
    assert world.tasks.payloads[-1]["authorities"] == ["r1.digits", "r2.digits"]
    assert "0.8800" in world.reason(view, PromoteRequest(2, margin=0.05))
    assert not list(world.home.work.iterdir())


def test_a_dataset_is_named_by_its_folder_or_by_the_beginning_of_its_digest(world: World) -> None:
    digest, view = world.dataset(), two(world, {}, {})
    world.reason(view, PromoteRequest(2, data=digest[:10], margin=1.0))
    assert digest in world.dataset_asked()
    world.reason(view, PromoteRequest(2, data=str(world.root / "data"), margin=1.0))
    assert world.dataset_asked() == str(world.root / "data")
    with pytest.raises(NotFound, match="no dataset artifact 'ffff'"):
        world.reason(view, PromoteRequest(2, data="ffff"))
    with pytest.raises(InvalidInput, match=r"has no manifest\.json"):
        world.reason(view, PromoteRequest(2, data=str(world.root)))


def test_a_revision_without_processes_says_how_it_is_started(world: World) -> None:
    view = service(revision(1, world.model("one"), 100, "serving"), revision(2))
    with pytest.raises(Conflict, match="revision 2 of service 'digits' has no processes") as caught:
        world.reason(view, PromoteRequest(2, data=world.dataset()))
    assert "argosy traffic digits 1=100 --header 'x-compare: yes=2'" in caught.value.hint


def test_force_and_a_service_that_serves_nothing_need_no_comparison(world: World) -> None:
    view = two(world, {}, {})
    assert world.reason(view, PromoteRequest(2, force=True, user="ada")) == (
        "forced by ada without a comparison"
    )
    assert world.reason(service(revision(2)), PromoteRequest(2)) == "nothing else serves"


@pytest.mark.parametrize("force", [False, True])
def test_a_revision_that_can_not_serve_is_not_promoted_even_by_force(world: World, force: bool) -> None:
    view = service(revision(1, percent=100, state="serving"), revision(2, state="failed"))
    with pytest.raises(Conflict, match="revision 2 of service 'digits' can not serve, it is failed"):
        world.reason(view, PromoteRequest(2, force=force))
    with pytest.raises(NotFound, match="has no revision 3"):
        world.reason(view, PromoteRequest(3, force=force))


VIEW = service(revision(1, percent=100, state="serving"), revision(2), revision(3, state="draining"))


@pytest.mark.parametrize(
    ("shares", "headers", "kind", "words"),
    [
        ([(1, 90), (2, 20)], [], InvalidRequest, "add up to 110"),
        ([(1, 90)], [], InvalidRequest, "add up to 90"),
        ([], [], InvalidRequest, "add up to 0"),
        ([(1, 150), (2, -50)], [], InvalidRequest, "can not have 150 percent"),
        ([(1, 50), (1, 50)], [], InvalidRequest, "two shares"),
        ([(1, 50), (3, 50)], [], Conflict, "is draining"),
        ([(1, 50), (7, 50)], [], NotFound, "no revision 7"),
        ([(1, 100)], [("x y", "a", 2)], InvalidRequest, "is not a header"),
        ([(1, 100)], [("x-beta", "a\nb", 2)], InvalidRequest, "is not a header"),
        ([(1, 100)], [("x-beta", "yes", 7)], NotFound, "no revision 7"),
    ],
)
def test_traffic_that_can_not_be_is_refused(
    shares: list[tuple[int, int]],
    headers: list[tuple[str, str, int]],
    kind: type[ArgosyError],
    words: str,
) -> None:
    request = TrafficRequest(
        [ShareRequest(*share) for share in shares], [HeaderRequest(*header) for header in headers]
    )
    with pytest.raises(kind, match=words):
        check_traffic(VIEW, request)


def test_traffic_that_can_be_is_let_through_and_said() -> None:
    request = TrafficRequest([ShareRequest(1, 100), ShareRequest(2, 0)], [HeaderRequest("x-beta", "yes", 2)])
    check_traffic(VIEW, request)
    assert traffic_text(VIEW) == "revision 1 gets 100 %"
    assert traffic_text(service()) == "no revision gets requests"


def test_requests_have_moved_when_a_release_says_so() -> None:
    def with_release(action: str) -> ServiceView:
        return replace(VIEW, releases=[ReleaseView(5.0, action, {"2": 100})])

    assert not has_moved(VIEW, VIEW, "promote")
    assert has_moved(VIEW, with_release("promote"), "promote")
    with pytest.raises(Conflict, match="deploy came before promote was done"):
        has_moved(VIEW, with_release("deploy"), "promote")
    given_up = replace(VIEW, reason="promote was given up: revision 2 was not ready in time")
    with pytest.raises(Conflict, match="not ready in time"):
        has_moved(VIEW, given_up, "promote")


def test_traffic_that_is_so_already_is_seen() -> None:
    assert is_traffic(VIEW, TrafficRequest([ShareRequest(1, 100)]))
    assert not is_traffic(VIEW, TrafficRequest([ShareRequest(1, 90), ShareRequest(2, 10)]))
    assert not is_traffic(VIEW, TrafficRequest([ShareRequest(1, 100)], [HeaderRequest("a", "b", 2)]))


@pytest.mark.parametrize("bounds", [(0, 0), (3, 2), (-1, 4), (1, 1000)])
def test_replicas_that_can_not_be_are_refused(bounds: tuple[int, int]) -> None:
    check: Callable[[ServiceView, int, int], None] = check_replicas
    check(VIEW, 0, 4)
    with pytest.raises(InvalidRequest, match="can not be"):
        check(VIEW, *bounds)
