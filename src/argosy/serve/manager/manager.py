"""The shell of the serve room: carries out what :mod:`argosy.serve.lifecycle.core` decides."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from argosy.api.views import ServiceView
from argosy.clock import Clock
from argosy.crash_points import pass_crash_point
from argosy.errors import ArgosyError, NotFound, Unavailable
from argosy.home import Home
from argosy.runtime.protocol import AttemptId, Cause, RuntimeEvent, Sampled
from argosy.serve.autoscaling.autoscaler import Autoscaler, Statistics
from argosy.serve.deployment import Deployment, ServiceChange, checked
from argosy.serve.gateway.draining import await_quiet
from argosy.serve.gateway.files import GatewayFiles
from argosy.serve.gateway.statistics import cluster_statistics
from argosy.serve.gateway.topology import HeaderRule, RevokedToken, Share, Topology
from argosy.serve.lifecycle.core import decide
from argosy.serve.lifecycle.events import (
    Adopted,
    DeleteRequested,
    DeployRequested,
    GatewayAnswered,
    PromoteRequested,
    ReplicaChecked,
    ReplicasDesired,
    Request,
    RevisionAnswered,
    RollbackRequested,
    ScaleRequested,
    ServeEvent,
    Ticked,
    TrafficRequested,
)
from argosy.serve.lifecycle.state import (
    GATEWAY_ATTEMPT,
    Gateway,
    GatewayPhase,
    ServeState,
    Settings,
    next_due,
)
from argosy.serve.lifecycle.topology import Probe, probes, topology
from argosy.serve.lifecycle.traffic import HeaderTarget
from argosy.serve.manager.activating import Activation
from argosy.serve.manager.announcing import Announcer
from argosy.serve.manager.carrying_out import Commander
from argosy.serve.manager.checking import Checker
from argosy.serve.manager.hearing import heard
from argosy.serve.manager.preloading import Preloads
from argosy.serve.manager.probing import Prober
from argosy.serve.manager.processes import ModelPath, Processes
from argosy.serve.manager.steady import SteadyClock
from argosy.serve.manager.stored import ServiceRecords, ServiceStore
from argosy.serve.manager.views import service_view

log = logging.getLogger(__name__)

_PREFIXES = ("service-", "gateway-")
_DRAIN_SECONDS = 15.0
_STORE_AGAIN_SECONDS = 1.0


class ServiceManager:
    """Every service of a home. All methods belong to one event loop.

    State is stored before it is acted on; a successor therefore finds every process this one started.
    Processes and the gateway go on when this object ends. What is asked for and can not be raises NotFound,
    Conflict or InvalidRequest, and Unavailable when it can not be stored.
    """

    def __init__(
        self,
        home: Home,
        processes: Processes,
        records: ServiceRecords,
        model_path: ModelPath,
        on_change: Callable[[ServiceChange], None],
        clock: Clock,
        gateway_port: int = 8080,
        settings: Settings | None = None,
    ) -> None:
        self._processes = processes
        self._clock = SteadyClock(clock)
        self._settings = settings or Settings()
        self._files = GatewayFiles(home)
        self._store = ServiceStore(records)
        self._state = ServeState()
        self._topology: Topology | None = None
        self._published = True
        self._revoked: tuple[RevokedToken, ...] = ()
        self._inbox: deque[ServeEvent] = deque()
        self._busy = False
        self._early: list[RuntimeEvent] | None = []
        self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._preloads = Preloads(model_path)
        self._commander = Commander(
            home, self._files, processes, model_path, self._preloads, self._clock, gateway_port
        )
        self._announcer = Announcer(on_change, self._settings, lambda: self.gateway_address)
        self._prober = Prober(self._files.paths.internal_socket, self._on_answer)
        self._checker = Checker(
            self._on_check, self._settings.check_seconds, self._settings.check_timeout_seconds
        )
        self._activation = Activation(
            self._files.paths.activator, lambda: self._state, self._demand, self._settings
        )
        self._autoscaler = Autoscaler(
            self._statistics, self._activation.waiting, self._on_desired, self._settings.sample_seconds
        )

    @property
    def gateway_address(self) -> str:
        """``http://127.0.0.1:PORT``, or nothing while no service has needed the gateway."""
        port = self._commander.port
        return f"http://127.0.0.1:{port}" if port else ""

    async def start(self, alive: frozenset[tuple[AttemptId, int]]) -> None:
        """Adopt what lives of every recorded service and launch what does not. Raises Unavailable."""
        self._files.prepare()
        remembered = self._files.remembered()
        self._state = ServeState(self._store.load(), Gateway(token=remembered.token))
        ours = frozenset(pair for pair in alive if pair[0].startswith(_PREFIXES))
        if (GATEWAY_ATTEMPT, remembered.token) in ours:
            self._commander.port = remembered.port
        await self._activation.start()
        self._feed(Adopted(self._clock.now(), ours))
        if self._commander.port and self._files.write_bootstrap(self._commander.port):
            self._processes.stop(GATEWAY_ATTEMPT, Cause.CANCELLED, "its configuration has changed")
        early, self._early = self._early or [], None
        for event in early:
            self.on_event(event)

    def deploy(self, deployment: Deployment) -> None:
        """Make it so, beside what serves now. Idempotent. The answer comes as a ServiceChange with the
        deployment's ``run``, ``node`` and ``generation``."""
        self._feed(DeployRequested(self._clock.now(), checked(deployment)))

    def delete(self, name: str) -> None:
        """Take the service away, its last requests finished."""
        if name not in self._state.services:
            known = ", ".join(sorted(self._state.services)) or "none"
            raise NotFound(f"service {name!r} does not exist", hint=f"services here: {known}")
        self._feed(DeleteRequested(self._clock.now(), name))

    def set_traffic(
        self, name: str, shares: tuple[Share, ...], headers: tuple[HeaderRule, ...] = (), user: str = ""
    ) -> None:
        """``shares`` are 100 percent in all; requests with one of the ``headers`` go where that says. It
        happens when every revision named can answer."""
        wanted = tuple((share.revision, share.percent) for share in shares)
        targets = tuple(HeaderTarget(one.header, one.value, one.revision) for one in headers)
        self._feed(TrafficRequested(self._clock.now(), name, wanted, targets, user))

    def promote(self, name: str, revision: int, reason: str = "", user: str = "") -> None:
        """Every request to ``revision``, when it can answer."""
        self._feed(PromoteRequested(self._clock.now(), name, revision, reason, user))

    def rollback(self, name: str, user: str = "") -> None:
        """The traffic before the last change again; a deployment or a move under way is called off."""
        self._feed(RollbackRequested(self._clock.now(), name, user))

    def scale(self, name: str, least: int, most: int, user: str = "") -> None:
        """Between ``least`` and ``most`` replicas of each model; 0 ends them all while nobody asks."""
        self._feed(ScaleRequested(self._clock.now(), name, least, most, user))

    def set_revoked(self, revoked: tuple[RevokedToken, ...]) -> None:
        """Refuse these tokens from now on."""
        self._revoked = revoked
        if self._early is None:
            self._publish()
            self._arm()

    def on_event(self, event: RuntimeEvent) -> None:
        """What the runtime says of attempts whose id starts with ``service-`` or ``gateway-``."""
        if not event.attempt.startswith(_PREFIXES) or self._closed:
            return
        if self._early is not None:
            self._early.append(event)
            return
        if isinstance(event, Sampled):
            self._autoscaler.sampled(event)
            return
        self._commander.note(event)
        if (happened := heard(event, self._clock.now())) is not None:
            self._feed(happened)

    def views(self) -> list[ServiceView]:
        """Every service, by name."""
        services = sorted(self._state.services.values(), key=lambda service: service.name)
        return [
            service_view(self._state, service, self._settings, self.gateway_address, self._autoscaler.reason)
            for service in services
            if service.revisions
        ]

    async def drain(self) -> None:
        """Before all is stopped: begin no more requests, and answer those under way, for 15 s at the most."""
        if self._state.gateway.phase is not GatewayPhase.UP:
            return
        try:
            self._files.refuse_callers()
        except Unavailable as error:
            log.warning("requests that come while everything is stopped break: %s", error.message)
        if not await await_quiet(self._files.paths.admin_socket, _DRAIN_SECONDS):
            log.warning("requests that were not answered within %g s break", _DRAIN_SECONDS)

    async def close(self) -> None:
        """Let go of everything; processes and gateway go on."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        await self._autoscaler.close()
        await self._checker.close()
        await self._prober.close()
        await self._activation.close()

    def sweep(self) -> None:
        """After :meth:`close`, and once every process has ended: remove what only a living gateway needs."""
        self._files.remove_sockets()

    # One event at a time: what a command or a callback posts waits until this one is carried out.

    def _feed(self, event: ServeEvent) -> None:
        self._inbox.append(event)
        if self._busy or self._closed:
            return
        self._busy = True
        refused: ArgosyError | None = None
        try:
            while self._inbox:
                try:
                    self._turn(self._inbox.popleft())
                except ArgosyError as error:
                    refused = refused or error
        finally:
            self._busy = False
        if refused is not None:
            raise refused

    def _turn(self, event: ServeEvent) -> None:
        before = self._state
        state, commands = decide(before, event, self._settings)
        self._store.store(before, state, must=isinstance(event, Request))
        self._state = state
        pass_crash_point("services.stored")
        self._publish()
        pass_crash_point("services.published")
        for command in commands:
            self._inbox.extend(self._commander.carry_out(state, command))
            self._announcer.answer(command)
        self._look_after(state)
        self._arm()
        self._announcer.tell(state)

    def _publish(self) -> None:
        wanted = topology(self._state, self._revoked)
        self._published = wanted == self._topology
        if self._published:
            return
        try:
            self._files.write(wanted)
        except ArgosyError as error:
            log.warning("%s", error.message)
        else:
            self._topology, self._published = wanted, True

    def _look_after(self, state: ServeState) -> None:
        port = self._commander.port
        self._prober.probe(probes(state) if port else frozenset(), port)
        self._checker.watch(state)
        self._activation.supply(state)
        self._autoscaler.watch(state)
        self._processes.keep_warm(self._preloads.asleep(state))

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._closed:
            return
        now = self._clock.now()
        due = next_due(self._state)
        if self._store.unstored or not self._published:
            due = min(due or float("inf"), now + _STORE_AGAIN_SECONDS)
        if due is not None:
            loop = asyncio.get_running_loop()
            # A timer may fire a little early by another clock: then it is armed once more.
            self._timer = loop.call_later(
                max(0.001, due - now), lambda: self._feed(Ticked(self._clock.now()))
            )

    def _on_answer(self, probe: Probe) -> None:
        now = self._clock.now()
        if probe.service:
            self._feed(RevisionAnswered(now, probe.service, probe.revision, probe.public))
        else:
            self._feed(GatewayAnswered(now, probe.token))

    def _on_check(self, attempt: AttemptId, token: int, reason: str) -> None:
        self._feed(ReplicaChecked(self._clock.now(), attempt, token, reason))

    def _on_desired(self, service: str, revision: int, member: str, desired: int) -> None:
        self._feed(ReplicasDesired(self._clock.now(), service, revision, member, desired))

    def _demand(self, cluster: str) -> None:
        if (event := self._activation.demanded(cluster, self._clock.now())) is not None:
            self._feed(event)

    async def _statistics(self) -> Statistics:
        if self._state.gateway.phase is not GatewayPhase.UP:
            raise Unavailable(f"the gateway is {self._state.gateway.phase}")
        return await cluster_statistics(self._files.paths.admin_socket)
