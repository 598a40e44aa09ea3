"""One decision under way: the state as far as it has come, and the commands so far."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from msgspec.structs import replace as change

from argosy.runtime.protocol import AttemptId
from argosy.serve.lifecycle.events import ServeCommand
from argosy.serve.lifecycle.state import Replica, Revision, RevisionPhase, ServeState, Service, Settings


@dataclass(slots=True)
class Step:
    """Collects what one call of ``decide`` changes."""

    state: ServeState
    time: float
    settings: Settings
    commands: list[ServeCommand] = field(default_factory=list)

    def emit(self, command: ServeCommand) -> None:
        self.commands.append(command)

    def put(self, service: Service) -> None:
        services = {**self.state.services, service.name: service}
        if service.deleting and not service.revisions:
            del services[service.name]
        self.state = replace(self.state, services=services)

    def put_revision(self, service: str, revision: Revision) -> None:
        """The revision in its new form; one that is drained and has no process left is retired, or forgotten
        if nothing of it is to stay."""
        found = self.state.services[service]
        if revision.phase is RevisionPhase.DRAINING and not revision.replicas:
            revision = change(revision, phase=RevisionPhase.RETIRED, due=None, desired={})
        gone = revision.phase in (RevisionPhase.RETIRED, RevisionPhase.FAILED) and not revision.replicas
        gone = gone and revision.forget
        revisions = tuple(
            revision if one.number == revision.number else one
            for one in found.revisions
            if not (gone and one.number == revision.number)
        )
        self.put(change(found, revisions=revisions))

    def add_replica(self, service: str, number: int, new: Replica) -> None:
        revision = self.expect(service, number)
        self.put_revision(service, change(revision, replicas=(*revision.replicas, new)))

    def put_replica(self, service: str, number: int, new: Replica | None, attempt: AttemptId) -> None:
        revision = self.expect(service, number)
        replicas = tuple(
            new if one.attempt == attempt and new is not None else one
            for one in revision.replicas
            if not (new is None and one.attempt == attempt)
        )
        self.put_revision(service, change(revision, replicas=replicas))

    def revision(self, service: str, number: int) -> Revision | None:
        found = self.state.services.get(service)
        return found.revision(number) if found else None

    def expect(self, service: str, number: int) -> Revision:
        """A revision that is known to be there."""
        found = self.revision(service, number)
        assert found is not None
        return found

    def token(self, previous: int = 0) -> int:
        """Greater than any handed out before, also by an earlier control plane."""
        return max(previous + 1, int(self.time * 1000))
