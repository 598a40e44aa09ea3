"""Whatever happens to services, in any order."""

from __future__ import annotations

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from argosy.serve.deployment import Deployment
from argosy.serve.lifecycle.events import (
    Adopted,
    DeleteRequested,
    DeployRequested,
)
from argosy.serve.lifecycle.state import (
    GATEWAY_ATTEMPT,
    GatewayPhase,
    ReplicaPhase,
    RevisionPhase,
    all_replicas,
)
from argosy.serve.lifecycle.topology import probes

from .world import World, deployment, public, restarted


class Serving(RuleBasedStateMachine):
    """Whatever happens: one public revision at most, and in the end what was asked for last serves."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.asked: Deployment | None = None
        self.served = False

    @initialize()
    def start(self) -> None:
        self.world.feed(Adopted(self.world.time, frozenset()))

    @rule(models=st.sampled_from([("a",), ("b",), ("a", "b")]), replicas=st.integers(1, 3))
    def deploy(self, models: tuple[str, ...], replicas: int) -> None:
        self.asked = deployment(*models, replicas=replicas)
        self.world.feed(DeployRequested(self.world.time, self.asked))

    @precondition(lambda self: "fashion" in self.world.state.services)
    @rule()
    def delete(self) -> None:
        self.asked = None
        self.world.feed(DeleteRequested(self.world.time, "fashion"))

    @precondition(lambda self: bool(self.world.alive))
    @rule(data=st.data())
    def kill(self, data: st.DataObject) -> None:
        self.world.end(data.draw(st.sampled_from(sorted(self.world.alive))))

    @precondition(lambda self: bool(self.world.starting()))
    @rule(data=st.data())
    def listen(self, data: st.DataObject) -> None:
        attempt = data.draw(st.sampled_from(sorted(self.world.starting())))
        self.world.listen(attempt)

    @precondition(lambda self: bool(probes(self.world.state)))
    @rule()
    def answer(self) -> None:
        self.world.answer_probes()

    @rule(seconds=st.floats(0.01, 40))
    def wait(self, seconds: float) -> None:
        self.world.tick(seconds)

    @rule()
    def end_stopped(self) -> None:
        self.world.end_stopped()

    @rule(gateway=st.booleans(), replicas=st.booleans())
    def restart(self, gateway: bool, replicas: bool) -> None:
        kept = {GATEWAY_ATTEMPT: gateway}
        self.world = restarted(self.world, lambda attempt: kept.get(attempt, replicas))

    @invariant()
    def at_most_one_revision_is_public(self) -> None:
        assert len(public(self.world)) <= 1
        for service in self.world.state.services.values():
            phases = [revision.phase for revision in service.revisions]
            assert sum(one in (RevisionPhase.SWITCHING, RevisionPhase.SERVING) for one in phases) <= 1
            assert sum(one in (RevisionPhase.STARTING, RevisionPhase.PROVING) for one in phases) <= 1
            assert sum(one is RevisionPhase.FAILED for one in phases) <= 1

    @invariant()
    def every_living_replica_is_known_and_every_running_one_lives(self) -> None:
        known = {
            replica.attempt: replica
            for _, _, replica in all_replicas(self.world.state)
            if replica.phase is not ReplicaPhase.BACKOFF
        }
        alive = {attempt: token for attempt, token in self.world.alive.items() if attempt != GATEWAY_ATTEMPT}
        assert alive == {attempt: replica.token for attempt, replica in known.items()}

    @invariant()
    def names_are_unique(self) -> None:
        attempts = [replica.attempt for _, _, replica in all_replicas(self.world.state)]
        assert len(attempts) == len(set(attempts))

    def teardown(self) -> None:
        """Left in peace, what was asked for last serves, unless it failed and said so."""
        for _ in range(20):
            self.world.end_stopped()
            self.world.listen(*map(str, self.world.starting()))
            self.world.answer_probes()
            self.world.tick(11)
            if (
                GATEWAY_ATTEMPT not in self.world.alive
                and self.world.state.gateway.phase is GatewayPhase.STARTING
            ):
                self.world.alive[GATEWAY_ATTEMPT] = self.world.state.gateway.token
        if self.asked is None:
            assert "fashion" not in self.world.state.services
            return
        service = self.world.service
        if service.failed is None and not service.reason:
            assert service.current is not None
            assert service.current.deployment.settings() == self.asked.settings()
            assert [revision.number for revision in service.revisions] == [service.current.number]


TestServing = Serving.TestCase
TestServing.settings = hypothesis_settings(max_examples=80, stateful_step_count=30, deadline=None)
