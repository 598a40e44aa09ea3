"""The shell of the serve room: carries out what :mod:`argosy.serve.lifecycle.core` decides."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec

from argosy.api.views import ServiceView
from argosy.artifacts.reference import ArtifactReference
from argosy.clock import Clock
from argosy.crash_points import pass_crash_point
from argosy.errors import ArgosyError, NotFound
from argosy.home import Home
from argosy.metadata.records import ServiceRecord
from argosy.runtime.protocol import AttemptId, Cause, Ended, Reported, RuntimeEvent, Started
from argosy.serve.deployment import Deployment, ServiceChange, checked
from argosy.serve.gateway.files import GatewayFiles, Remembered, choose_port, gateway_spec
from argosy.serve.gateway.topology import Topology
from argosy.serve.lifecycle.core import decide
from argosy.serve.lifecycle.events import (
    Acknowledge,
    Adopted,
    AnswerAsker,
    DeleteRequested,
    DeployRequested,
    GatewayAnswered,
    ProcessEnded,
    ProcessStarted,
    ReplicaListening,
    RevisionAnswered,
    ServeCommand,
    ServeEvent,
    StartGateway,
    StartReplica,
    StopProcess,
    Ticked,
)
from argosy.serve.lifecycle.state import (
    GATEWAY_ATTEMPT,
    Gateway,
    Revision,
    ServeState,
    Service,
    Settings,
    next_due,
)
from argosy.serve.lifecycle.topology import Probe, probes, topology
from argosy.serve.probing import answered
from argosy.serve.processes import Processes, ServiceRecords, ending, replica_spec
from argosy.serve.summary import Summary, predict_url, summarize, view

log = logging.getLogger(__name__)

_PREFIXES = ("service-", "gateway-")
_STORE_AGAIN_SECONDS = 1.0


class ServiceManager:
    """Every service of a home. All methods belong to one event loop.

    State is stored before it is acted on; a successor therefore finds every process this one started.
    Processes and the gateway go on when this object ends.
    """

    def __init__(
        self,
        home: Home,
        processes: Processes,
        records: ServiceRecords,
        model_path: Callable[[ArtifactReference], Path],
        on_change: Callable[[ServiceChange], None],
        clock: Clock,
        gateway_port: int = 8080,
        settings: Settings | None = None,
    ) -> None:
        self._home = home
        self._processes = processes
        self._records = records
        self._model_path = model_path
        self._on_change = on_change
        self._clock = clock
        self._preferred_port = gateway_port
        self._settings = settings or Settings()
        self._files = GatewayFiles(home)
        self._port = 0
        self._state = ServeState()
        self._topology: Topology | None = None
        self._inbox: deque[ServeEvent] = deque()
        self._busy = False
        self._early: list[RuntimeEvent] | None = []
        self._closed = False
        self._unstored: set[str] = set()
        self._probes: dict[Probe, asyncio.Task[None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._summaries: dict[str, Summary] = {}

    @property
    def gateway_address(self) -> str:
        """``http://127.0.0.1:PORT``, or nothing while no service has needed the gateway."""
        return f"http://127.0.0.1:{self._port}" if self._port else ""

    async def start(self, alive: frozenset[tuple[AttemptId, int]]) -> None:
        """Adopt what lives of every recorded service and launch what does not. Raises Unavailable."""
        self._files.prepare()
        remembered = self._files.remembered()
        services = {service.name: service for service in self._stored_services()}
        self._state = ServeState(services, Gateway(token=remembered.token))
        ours = frozenset(pair for pair in alive if pair[0].startswith(_PREFIXES))
        if (GATEWAY_ATTEMPT, remembered.token) in ours:
            self._port = remembered.port
        self._feed(Adopted(self._clock.now(), ours))
        if self._port and self._files.write_bootstrap(self._port):
            self._processes.stop(GATEWAY_ATTEMPT, Cause.CANCELLED, "its configuration has changed")
        early, self._early = self._early or [], None
        for event in early:
            self.on_event(event)

    def deploy(self, deployment: Deployment) -> None:
        """Make it so, beside what serves now. Idempotent. The answer comes as a ServiceChange with the
        deployment's ``run``, ``node`` and ``generation``. Raises InvalidRequest, Unavailable."""
        self._feed(DeployRequested(self._clock.now(), checked(deployment)))

    def delete(self, name: str) -> None:
        """Take the service away, its last requests finished. Raises NotFound."""
        if name not in self._state.services:
            known = ", ".join(sorted(self._state.services)) or "none"
            raise NotFound(f"service {name!r} does not exist", hint=f"services here: {known}")
        self._feed(DeleteRequested(self._clock.now(), name))

    def on_event(self, event: RuntimeEvent) -> None:
        """What the runtime says of attempts whose id starts with ``service-`` or ``gateway-``."""
        if not event.attempt.startswith(_PREFIXES) or self._closed:
            return
        if self._early is not None:
            self._early.append(event)
            return
        now = self._clock.now()
        match event:
            case Started(attempt=attempt, token=token, processes=processes):
                self._feed(ProcessStarted(now, attempt, token, processes[0][0]))
            case Reported(attempt=attempt, token=token, kind="listening", body=body):
                self._feed(ReplicaListening(now, attempt, token, int(body["port"])))
            case Ended(attempt=attempt, token=token, outcome=outcome):
                self._feed(ProcessEnded(now, attempt, token, ending(outcome)))
            case _:
                pass

    def views(self) -> list[ServiceView]:
        """Every service, by name."""
        services = sorted(self._state.services.values(), key=lambda service: service.name)
        return [
            view(self._state, service, self._settings, self.gateway_address)
            for service in services
            if service.revisions
        ]

    async def close(self) -> None:
        """Let go of everything; processes and gateway go on."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        tasks = list(self._probes.values())
        self._probes.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def sweep(self) -> None:
        """After :meth:`close`, and once every process has ended: remove what only a living gateway needs."""
        self._files.remove_sockets()

    # One event at a time: what a command or a callback posts waits until this one is carried out.

    def _feed(self, event: ServeEvent) -> None:
        self._inbox.append(event)
        if self._busy or self._closed:
            return
        self._busy = True
        try:
            while self._inbox:
                self._turn(self._inbox.popleft())
        finally:
            self._busy = False

    def _turn(self, event: ServeEvent) -> None:
        before = self._state
        state, commands = decide(before, event, self._settings)
        self._store(before, state, must=isinstance(event, DeployRequested | DeleteRequested))
        self._state = state
        pass_crash_point("services.stored")
        self._publish()
        pass_crash_point("services.published")
        for command in commands:
            self._carry_out(command)
        self._probe()
        self._arm()
        self._tell()

    def _store(self, before: ServeState, state: ServeState, *, must: bool) -> None:
        names = {*before.services, *state.services}
        changed = {name for name in names if before.services.get(name) is not state.services.get(name)}
        changed |= self._unstored
        try:
            self._write_records(state, sorted(changed))
        except ArgosyError as error:
            if must:
                raise
            # A replica is replaced though the disk is full; a successor ends what no record speaks of.
            log.warning("services are not stored: %s", error.message)
            self._unstored = changed
        else:
            self._unstored = set()

    def _write_records(self, state: ServeState, names: list[str]) -> None:
        records = [_record(state.services[name]) for name in names if name in state.services]
        if records:
            self._records.write(records)
        for name in names:
            if name not in state.services:
                self._records.delete_service(name)

    def _publish(self) -> None:
        wanted = topology(self._state)
        if wanted == self._topology:
            return
        try:
            self._files.write(wanted)
        except ArgosyError as error:
            log.warning("%s", error.message)
        else:
            self._topology = wanted

    def _carry_out(self, command: ServeCommand) -> None:
        match command:
            case StartReplica(service, number, replica):
                self._attempt(replica.attempt, replica.token, partial(self._launch, service, number, command))
            case StartGateway(token):
                self._attempt(GATEWAY_ATTEMPT, token, partial(self._launch_gateway, token))
            case StopProcess(attempt, reason):
                self._processes.stop(attempt, Cause.CANCELLED, reason)
            case Acknowledge(attempt, token):
                self._processes.acknowledge(attempt, token)
            case AnswerAsker(service, number, asker, state, reason):
                change = self._change(service, Summary(state, number, reason))
                run, node, generation = asker.run, asker.node, asker.generation
                self._on_change(replace(change, run=run, node=node, generation=generation))

    def _attempt(self, attempt: AttemptId, token: int, launch: Callable[[], None]) -> None:
        try:
            launch()
        except ArgosyError as error:
            self._inbox.append(ProcessEnded(self._clock.now(), attempt, token, str(error)))

    def _launch(self, service: str, number: int, command: StartReplica) -> None:
        revision = _revision(self._state, service, number)
        if revision is not None:
            socket_path = self._files.paths.internal_socket
            spec = replica_spec(self._home, revision, command.replica, self._model_path, socket_path)
            self._processes.launch(spec)

    def _launch_gateway(self, token: int) -> None:
        self._port = choose_port(self._files.remembered().port, self._preferred_port)
        self._files.remember(Remembered(self._port, token))
        self._files.write_bootstrap(self._port)
        self._processes.launch(gateway_spec(self._home, token, self._files.bootstrap_file))

    def _probe(self) -> None:
        wanted = probes(self._state) if self._port else frozenset()
        for probe in self._probes.keys() - wanted:
            self._probes.pop(probe).cancel()
        for probe in wanted - self._probes.keys():
            self._probes[probe] = asyncio.get_running_loop().create_task(self._run_probe(probe))

    async def _run_probe(self, probe: Probe) -> None:
        await answered(probe, self._files.paths.internal_socket, self._port)
        now = self._clock.now()
        if probe.service:
            self._feed(RevisionAnswered(now, probe.service, probe.revision, probe.public))
        else:
            self._feed(GatewayAnswered(now, probe.token))

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = self._clock.now()
        due = next_due(self._state)
        if self._unstored or self._topology != topology(self._state):
            due = min(due or float("inf"), now + _STORE_AGAIN_SECONDS)
        if due is not None:
            loop = asyncio.get_running_loop()
            # A timer may fire a little early by another clock: then it is armed once more.
            self._timer = loop.call_later(
                max(0.001, due - now), lambda: self._feed(Ticked(self._clock.now()))
            )

    def _tell(self) -> None:
        """Say what changed, except to a service's deployer who waits for the answer to something else."""
        state = self._state
        summaries = {
            name: summarize(state, service, self._settings) for name, service in state.services.items()
        }
        for name, summary in summaries.items():
            if summary != self._summaries.get(name) and not _is_awaited(state.services[name]):
                self._on_change(self._change(name, summary))
        self._summaries = summaries

    def _change(self, service: str, summary: Summary) -> ServiceChange:
        endpoint = {"name": service, "url": predict_url(self.gateway_address, service)}
        return ServiceChange(service, summary.revision, summary.state, summary.reason, endpoint)

    def _stored_services(self) -> list[Service]:
        services = []
        for record in self._records.services():
            try:
                services.append(msgspec.json.decode(record.state, type=Service))
            except msgspec.MsgspecError as error:
                log.warning(
                    "the record of service %r can not be read and is left alone: %s", record.service, error
                )
        return services


def _record(service: Service) -> ServiceRecord:
    newest = service.revisions[-1].deployment if service.revisions else None
    return ServiceRecord(
        service=service.name,
        revision=service.last_revision,
        created_at=service.created_at,
        specification=msgspec.json.encode(newest),
        state=msgspec.json.encode(service),
    )


def _revision(state: ServeState, service: str, number: int) -> Revision | None:
    found = state.services.get(service)
    return next((one for one in found.revisions if one.number == number), None) if found else None


def _is_awaited(service: Service) -> bool:
    return any(revision.askers for revision in service.revisions)
