"""Services in a world of their own: no process, and time stands still until it is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from argosy.artifacts.reference import ArtifactReference
from argosy.runtime.protocol import AttemptId
from argosy.serve.deployment import Deployment, ModelReference
from argosy.serve.lifecycle.core import decide
from argosy.serve.lifecycle.events import (
    Adopted,
    DeployRequested,
    GatewayAnswered,
    ProcessEnded,
    ReplicaListening,
    RevisionAnswered,
    ServeCommand,
    ServeEvent,
    StartGateway,
    StartReplica,
    Ticked,
)
from argosy.serve.lifecycle.state import (
    GATEWAY_ATTEMPT,
    Replica,
    ReplicaPhase,
    ServeState,
    Service,
    Settings,
    all_replicas,
)
from argosy.serve.lifecycle.topology import probes, topology
from argosy.serve.manager.summary import summarize

Kind = TypeVar("Kind", bound=ServeCommand)

SETTINGS = Settings()


def deployment(*models: str, service: str = "fashion", replicas: int = 1, run: str = "run-1") -> Deployment:
    references = tuple(
        ModelReference(name, ArtifactReference(f"digest-{name}", "model", 1)) for name in models
    )
    return Deployment(service, references, (replicas, 4), "mean", run, "serve")


class World:
    """A state, the events that led to it, and processes that do what they are told."""

    def __init__(self, state: ServeState | None = None) -> None:
        self.state = state or ServeState()
        self.time = 1000.0
        self.commands: list[ServeCommand] = []
        self.alive: dict[AttemptId, int] = {}
        self.crashing = False

    def feed(self, event: ServeEvent) -> list[ServeCommand]:
        self.state, commands = decide(self.state, event, SETTINGS)
        if self.crashing:
            self._crash()
            return []
        self.commands += commands
        for command in commands:
            if isinstance(command, StartReplica):
                self.alive[command.replica.attempt] = command.replica.token
            elif isinstance(command, StartGateway):
                self.alive[GATEWAY_ATTEMPT] = command.token
        return list(commands)

    def _crash(self) -> None:
        """The state is stored, nothing that was decided is carried out, and a successor takes over."""
        self.crashing = False
        vars(self).update(vars(restarted(self, lambda attempt: True)))

    def deploy(self, *models: str, **options: object) -> list[ServeCommand]:
        return self.feed(DeployRequested(self.time, deployment(*models, **options)))  # type: ignore[arg-type]

    def listen(self, *attempts: str, port: int = 5000) -> None:
        for number, attempt in enumerate(attempts or [str(one) for one in self.starting()]):
            token = self.alive[AttemptId(attempt)]
            self.feed(ReplicaListening(self.time, AttemptId(attempt), token, port + number))

    def end(self, attempt: str, reason: str = "it was killed by signal 9") -> list[ServeCommand]:
        token = self.alive.pop(AttemptId(attempt))
        return self.feed(ProcessEnded(self.time, AttemptId(attempt), token, reason))

    def answer_probes(self) -> None:
        while wanted := sorted(probes(self.state)):
            probe = wanted[0]
            if probe.service:
                event: ServeEvent = RevisionAnswered(self.time, probe.service, probe.revision, probe.public)
            else:
                event = GatewayAnswered(self.time, probe.token)
            self.feed(event)

    def tick(self, seconds: float = 0.0) -> list[ServeCommand]:
        self.time += seconds
        return self.feed(Ticked(self.time))

    def end_stopped(self) -> None:
        """Whatever was told to stop does."""
        for _ in range(10):
            for _, _, replica in tuple(all_replicas(self.state)):
                if replica.phase is ReplicaPhase.STOPPING and replica.attempt in self.alive:
                    self.end(replica.attempt, "stopped")

    def serve(self, *models: str, **options: object) -> None:
        self.deploy(*models, **options)
        self.listen()
        self.answer_probes()

    def said(self, kind: type[Kind]) -> list[Kind]:
        return [command for command in self.commands if isinstance(command, kind)]

    @property
    def service(self) -> Service:
        return self.state.services["fashion"]

    def phases(self) -> dict[int, str]:
        return {revision.number: revision.phase.value for revision in self.service.revisions}

    def summary(self) -> tuple[str, str]:
        summary = summarize(self.state, self.service, SETTINGS)
        return summary.state, summary.reason

    def replica(self, attempt: str) -> Replica:
        return next(replica for _, _, replica in all_replicas(self.state) if replica.attempt == attempt)

    def starting(self) -> list[AttemptId]:
        return [one.attempt for _, _, one in all_replicas(self.state) if one.phase is ReplicaPhase.STARTING]


def public(world: World) -> list[int]:
    return [share.revision for service in topology(world.state).services for share in service.shares]


def restarted(world: World, alive: Callable[[AttemptId], bool]) -> World:
    """A successor that knows what was stored, and whose processes are those ``alive`` keeps."""
    services = {
        name: msgspec.json.decode(msgspec.json.encode(service), type=Service)
        for name, service in world.state.services.items()
    }
    successor = World(ServeState(services, world.state.gateway))
    successor.time = world.time + 5
    successor.alive = {attempt: token for attempt, token in world.alive.items() if alive(attempt)}
    gone = ServeState(services).gateway
    if not alive(GATEWAY_ATTEMPT):
        successor.state = ServeState(services, gone)
    successor.feed(Adopted(successor.time, frozenset(successor.alive.items())))
    return successor
