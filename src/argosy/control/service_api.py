"""The part of the API that concerns services (argosy.control.service.ServingService)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from argosy.api.serving import (
    AuditView,
    ChangeView,
    PromoteRequest,
    RollbackRequest,
    ScaleRequest,
    ServeProgress,
    ServeRequest,
    TokenCreated,
    TokenRequest,
    TokenView,
    TrafficRequest,
)
from argosy.api.views import ServiceView
from argosy.control.access import Access
from argosy.control.changing import (
    check_replicas,
    check_traffic,
    has_moved,
    is_traffic,
    replicas_text,
    traffic_text,
)
from argosy.control.promoting import Promotion
from argosy.control.service_ports import ServiceControl, find_service
from argosy.control.serving import Serving
from argosy.errors import Unavailable
from argosy.serve.gateway.topology import HeaderRule, Share

# Longer than a revision may take to start.
MOVE_SECONDS = 90.0
_LOOK_SECONDS = 0.01


class ServiceApi:
    """What people ask of services, tokens and the audit."""

    def __init__(
        self, services: ServiceControl, serving: Serving, promotion: Promotion, access: Access
    ) -> None:
        self._services = services
        self._serving = serving
        self._promotion = promotion
        self._access = access

    async def services(self) -> list[ServiceView]:
        return self._serving.views()

    async def service(self, name: str) -> ServiceView:
        return find_service(self._serving.views(), name)

    async def serve(self, request: ServeRequest) -> AsyncIterator[ServeProgress]:
        return await self._serving.serve(request)

    async def delete(self, name: str) -> ServiceView:
        last = await self.service(name)
        self._services.delete(name)
        self._serving.forget(name)
        return last

    async def scale(self, name: str, request: ScaleRequest) -> ChangeView:
        before = await self.service(name)
        if before.replicas == (request.least, request.most):
            return ChangeView(
                f"service {name} has {replicas_text(before)} already: nothing was changed", before
            )
        check_replicas(before, request.least, request.most)
        self._services.scale(name, request.least, request.most, request.user)
        after = await self.service(name)
        return ChangeView(f"service {name}: {replicas_text(after)}, {replicas_text(before)} before", after)

    async def set_traffic(self, name: str, request: TrafficRequest) -> ChangeView:
        before = await self.service(name)
        check_traffic(before, request)
        if is_traffic(before, request):
            return ChangeView(f"service {name}: {traffic_text(before)} already, nothing was changed", before)
        shares = tuple(Share(share.revision, share.percent) for share in request.shares if share.percent)
        headers = tuple(HeaderRule(rule.header, rule.value, rule.revision) for rule in request.headers)
        self._services.set_traffic(name, shares, headers, request.user)
        return await self._moved(name, before, "traffic")

    async def promote(self, name: str, request: PromoteRequest) -> ChangeView:
        before = await self.service(name)
        mine = next((one for one in before.revisions if one.revision == request.revision), None)
        if mine is not None and mine.percent == 100:
            message = f"revision {request.revision} of service {name} gets all requests already"
            return ChangeView(f"{message}: nothing was changed", before)
        reason = await self._promotion.reason(before, request)
        self._services.promote(name, request.revision, reason, request.user)
        after = (await self._moved(name, before, "promote")).service
        return ChangeView(f"service {name}: revision {request.revision} was promoted, {reason}", after)

    async def roll_back(self, name: str, request: RollbackRequest) -> ChangeView:
        before = await self.service(name)
        self._services.rollback(name, request.user)
        return await self._moved(name, before, "rollback")

    async def _moved(self, name: str, before: ServiceView, action: str) -> ChangeView:
        """The change once requests have moved. Raises Conflict when they will not."""
        deadline = asyncio.get_running_loop().time() + MOVE_SECONDS
        while True:
            after = await self.service(name)
            if has_moved(before, after, action):
                now, earlier = traffic_text(after), traffic_text(before)
                said = f"{now}, as before" if now == earlier else f"{now}; before, {earlier}"
                return ChangeView(f"service {name}: {said}", after)
            if asyncio.get_running_loop().time() > deadline:
                raise Unavailable(
                    f"service {name}: {action} is still under way after {MOVE_SECONDS:g} s",
                    hint=f"'argosy service {name}' says how it goes",
                )
            await asyncio.sleep(_LOOK_SECONDS)

    # Tokens and audit

    async def create_token(self, request: TokenRequest) -> TokenCreated:
        return self._access.create(request)

    async def revoke_token(self, token: str) -> TokenView:
        return self._access.revoke(token)

    async def tokens(self) -> list[TokenView]:
        return list(self._access.list())

    async def audit(self, since: float, user: str | None, service: str | None) -> list[AuditView]:
        return list(await asyncio.to_thread(self._access.audit, since, user, service))
