"""Services without processes: the real API over a manager, tokens and an audit that only remember.

A model whose path ends in ``broken`` can not be imported, one that ends in ``hopeless`` is found
never to answer, and one that ends in ``hang`` is waited for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import msgspec

from argosy.api.serving import PromoteRequest, ServeProgress, ServeRequest
from argosy.api.views import (
    ComparisonView,
    MemberView,
    ReleaseView,
    ReplicaView,
    RevisionView,
    ServiceView,
)
from argosy.control.access import Access
from argosy.control.promoting import find_revision
from argosy.control.service_api import ServiceApi
from argosy.errors import Conflict, InvalidInput, NotFound, RunFailed
from argosy.home import Home
from argosy.serve.deployment import Deployment
from argosy.serve.gateway.topology import HeaderRule, RevokedToken, Share

HOUR = 1_790_000_000.0 - 1_790_000_000.0 % 3600


class Manager:
    """What services there are, and what became of them."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._services: dict[str, ServiceView] = {}
        self._action = "traffic"

    def views(self) -> list[ServiceView]:
        gateway = self._home.root / "gateway.url"
        if gateway.exists():
            known = self._services.get("digits")
            fresh = _digits(gateway.read_text())
            if known is None or known.url != fresh.url:
                self._services["digits"] = fresh
        else:
            self._services.pop("digits", None)
        return sorted(self._services.values(), key=lambda service: service.name)

    def put(self, request: ServeRequest) -> ServiceView:
        before = self._services.get(request.name)
        number = before.revisions[-1].revision + 1 if before else 1
        member = MemberView(f"{request.name}.m", "m", "ab" * 32, "", [ReplicaView("m-0", "ready")])
        percent = request.options.release.percent
        revision = RevisionView(number, "serving", number, percent, HOUR, user=request.user, members=[member])
        earlier = [replace(one, percent=100 - percent) for one in before.revisions] if before else []
        self._services[request.name] = ServiceView(
            request.name,
            "ready",
            number,
            f"http://127.0.0.1:1/v1/models/{request.name}:predict",
            request.aggregate if len(request.models) > 1 else "",
            HOUR,
            members=[member],
            strategy=request.options.strategy.value,
            replicas=request.replicas,
            revisions=[*earlier, revision],
            releases=[ReleaseView(HOUR, "deploy", {str(number): 100}, "made by hand", request.user)],
            options=msgspec.to_builtins(request.options),
        )
        return self._services[request.name]

    def deploy(self, deployment: Deployment) -> None:
        raise AssertionError("models are served by FakeServing")

    def scale(self, name: str, least: int, most: int, user: str) -> None:
        self._services[name] = replace(self._services[name], replicas=(least, most))

    def set_traffic(
        self, name: str, shares: tuple[Share, ...], headers: tuple[HeaderRule, ...], user: str
    ) -> None:
        percent = {share.revision: share.percent for share in shares}
        service = self._services[name]
        revisions = [
            replace(
                one,
                percent=percent.get(one.revision, 0),
                headers=[f"{rule.header}: {rule.value}" for rule in headers if rule.revision == one.revision],
            )
            for one in service.revisions
        ]
        shared = {str(share.revision): share.percent for share in shares}
        releases = [*service.releases, ReleaseView(time.time(), self._action, shared, user=user)]
        self._services[name] = replace(service, revisions=revisions, releases=releases)
        self._action = "traffic"

    def promote(self, name: str, revision: int, reason: str, user: str) -> None:
        self._action = "promote"
        self.set_traffic(name, (Share(revision, 100),), (), user)

    def rollback(self, name: str, user: str) -> None:
        revisions = self._services[name].revisions
        if len(revisions) < 2:
            raise Conflict(f"service {name!r} was never anything else", hint="deploy another revision first")
        self._action = "rollback"
        self.set_traffic(name, (Share(revisions[-2].revision, 100),), (), user)

    def delete(self, name: str) -> None:
        del self._services[name]

    def set_revoked(self, revoked: tuple[RevokedToken, ...]) -> None:
        (self._home.root / "revoked").write_text(" ".join(one.token for one in revoked))


def _digits(gateway: str) -> ServiceView:
    url = f"{gateway}/v1/models/digits:predict"
    replicas = [ReplicaView("cnn-1", "ready", 9001, 11), ReplicaView("cnn-2", "starting", 9002, 12)]
    members = [MemberView("digits-cnn", "cnn", "ab" * 32, url.replace("digits", "digits-cnn"), replicas)]
    shadow = ComparisonView(1200, 3, 1150, 0.9913, 0.0321)
    return ServiceView(
        "digits",
        "ready",
        3,
        url,
        "mean",
        time.time(),
        run="hello-0001",
        members=members,
        replicas=(2, 4),
        scaling="2 replicas: 11 requests at once, 8 wanted for each",
        revisions=[
            RevisionView(2, "standby", 7, 0, HOUR, "was promoted away", user="eve", members=members),
            RevisionView(3, "serving", 3, 100, HOUR, user="ada", members=members),
            RevisionView(4, "standby", 4, 0, HOUR, shadow_percent=10, comparison=shadow),
            RevisionView(5, "failed", 5, 0, HOUR, "model 'cnn' can not be started"),
        ],
        releases=[ReleaseView(HOUR, "promote", {"3": 100}, "accuracy 0.91 beside 0.90", "ada")],
        options={
            "access": {
                "tiers": {"anonymous": {"concurrency": 2, "queue": 4, "requests": 10}},
                "require_token": True,
            }
        },
    )


class FakeServing:
    def __init__(self, manager: Manager) -> None:
        self._manager = manager

    def views(self) -> list[ServiceView]:
        return self._manager.views()

    def forget(self, service: str) -> None:
        return None

    async def serve(self, request: ServeRequest) -> AsyncIterator[ServeProgress]:
        if any(model.endswith("broken") for model in request.models):
            raise InvalidInput(f"{request.models[0]} is no model", hint="export it again")
        return self._serve(request)

    async def _serve(self, request: ServeRequest) -> AsyncIterator[ServeProgress]:
        for model in request.models:
            yield ServeProgress("importing", f"importing {model.rpartition('/')[2]}")
        known = {view.name: view for view in self._manager.views()}
        if request.name in known and known[request.name].replicas == request.replicas:
            yield ServeProgress("unchanged", f"service {request.name} is this already", known[request.name])
            return
        if any(model.endswith("hopeless") for model in request.models):
            raise RunFailed(f"service {request.name} could not be started: it never answers", hint="look")
        view = self._manager.put(request)
        yield ServeProgress("starting", f"starting {request.name}", view)
        if request.models[0].endswith("hang"):
            await asyncio.Event().wait()
        if not request.detach:
            yield ServeProgress("ready", f"service {request.name} answers", view)


class FakePromotion:
    """Revision 4 is worse than what serves."""

    async def reason(self, view: ServiceView, request: PromoteRequest) -> str:
        revision = find_revision(view, request.revision)
        if revision.revision == 4 and not request.force:
            raise Conflict(
                "revision 4 is not promoted: accuracy 0.8000 beside 0.9000", hint="--force promotes it"
            )
        return "forced" if request.force else "accuracy 0.9100 beside 0.9000"


@dataclass
class Token:
    token: str
    user: str
    group: str
    tier: str
    created_at: float
    expires_at: float
    revoked_at: float | None = None


class FakeTokens:
    def __init__(self) -> None:
        self._tokens: list[Token] = []

    def create(self, user: str, group: str, tier: str, expires_seconds: float) -> tuple[Token, str]:
        now = time.time()
        record = Token(f"t{len(self._tokens) + 1}", user, group, tier, now, now + expires_seconds)
        self._tokens.append(record)
        return record, f"header.{record.token}.signature"

    def revoke(self, token: str) -> Token:
        for record in self._tokens:
            if record.token == token:
                record.revoked_at = time.time()
                return record
        raise NotFound(f"there is no token {token!r}", hint="'argosy token list' lists them")

    def list(self) -> list[Token]:
        return self._tokens

    def revoked_alive(self, time: float) -> tuple[RevokedToken, ...]:
        return tuple(RevokedToken(one.token, one.user) for one in self._tokens if one.revoked_at)


@dataclass
class Row:
    hour: int
    user: str
    group: str
    tier: str
    service: str
    outcome: str
    requests: int
    received: int
    sent: int
    seconds: float = 1.0
    first_at: float = HOUR + 60
    last_at: float = HOUR + 3599


class FakeAudit:
    def audit(self, since: float = 0.0, user: str | None = None, service: str | None = None) -> list[Row]:
        hour, ada = int(HOUR), ("ada", "vision", "signed-in", "digits")
        rows = [
            Row(hour, *ada, "answered", 1200, 3 * 2**20, 2**20),
            Row(hour, *ada, "refused: concurrency", 7, 0, 0),
            Row(hour, *ada, "refused: requests", 2, 0, 0),
            Row(hour, "", "", "anonymous", "other", "failed", 1, 1024, 0),
        ]
        return [
            row
            for row in rows
            if row.hour >= since and user in (None, row.user) and service in (None, row.service)
        ]


class _Clock:
    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


def fake_api(home: Home) -> ServiceApi:
    manager = Manager(home)
    serving, promotion = FakeServing(manager), FakePromotion()
    return ServiceApi(
        manager,
        serving,  # type: ignore[arg-type]
        promotion,  # type: ignore[arg-type]
        Access(FakeTokens(), FakeAudit(), manager.set_revoked, _Clock()),
    )
