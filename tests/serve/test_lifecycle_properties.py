"""Whatever happens to services, in any order."""

from __future__ import annotations

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace as change

from argosy.errors import ArgosyError
from argosy.flow.service_options import Release, ReleaseMode, ServiceOptions, Strategy
from argosy.runtime.protocol import AttemptId
from argosy.serve.activator.supplies import supplies
from argosy.serve.deployment import Deployment
from argosy.serve.lifecycle.events import (
    Adopted,
    DeleteRequested,
    DeployRequested,
    PromoteRequested,
    ReplicaChecked,
    ReplicasDemanded,
    ReplicasDesired,
    RollbackRequested,
    ScaleRequested,
    TrafficRequested,
)
from argosy.serve.lifecycle.state import (
    ALIVE,
    COMPARER,
    ENDING,
    GATEWAY_ATTEMPT,
    PUBLIC,
    GatewayPhase,
    ReplicaPhase,
    RevisionPhase,
    all_replicas,
)
from argosy.serve.lifecycle.topology import probes, topology

from .world import SETTINGS, World, deployment, restarted


class Serving(RuleBasedStateMachine):
    """Whatever happens: shares are whole and lead to what can answer, and in the end what was asked for last
    is so."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.deployed: Deployment | None = None
        self.pointed: dict[int, int] | None = None

    @initialize()
    def start(self) -> None:
        self.world.feed(Adopted(self.world.time, frozenset()))

    @rule(
        models=st.sampled_from([("a",), ("b",), ("a", "b")]),
        least=st.integers(0, 3),
        strategy=st.sampled_from(Strategy),
        mode=st.sampled_from(ReleaseMode),
        percent=st.integers(1, 99),
    )
    def deploy(
        self, models: tuple[str, ...], least: int, strategy: Strategy, mode: ReleaseMode, percent: int
    ) -> None:
        options = ServiceOptions(strategy=strategy, release=Release(mode, percent))
        asked = change(deployment(*models, replicas=least), options=options)
        self.world.feed(DeployRequested(self.world.time, asked))
        self.deployed, self.pointed = asked, None

    @precondition(lambda self: "fashion" in self.world.state.services)
    @rule()
    def delete(self) -> None:
        self.deployed = self.pointed = None
        self.world.feed(DeleteRequested(self.world.time, "fashion"))

    @precondition(lambda self: "fashion" in self.world.state.services)
    @rule(data=st.data())
    def move(self, data: st.DataObject) -> None:
        numbers = [revision.number for revision in self.world.service.revisions]
        first, second = (data.draw(st.sampled_from([*numbers, 99])) for _ in range(2))
        percent = data.draw(st.integers(0, 100))
        shares = {first: 100} if first == second else {first: percent, second: 100 - percent}
        event = TrafficRequested(self.world.time, "fashion", tuple(shares.items()))
        if self._asked(event):
            self.pointed = {number: share for number, share in shares.items() if share}

    @precondition(lambda self: "fashion" in self.world.state.services)
    @rule(data=st.data())
    def promote(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from([one.number for one in self.world.service.revisions]))
        if self._asked(PromoteRequested(self.world.time, "fashion", number)):
            self.pointed = {number: 100}

    @precondition(lambda self: "fashion" in self.world.state.services)
    @rule()
    def roll_back(self) -> None:
        if self._asked(RollbackRequested(self.world.time, "fashion")):
            service = self.world.service
            wanted = service.pending.traffic if service.pending else service.traffic
            self.pointed = dict(wanted.shares)

    @precondition(lambda self: "fashion" in self.world.state.services)
    @rule(least=st.integers(0, 3), more=st.integers(0, 2))
    def scale(self, least: int, more: int) -> None:
        self._asked(ScaleRequested(self.world.time, "fashion", least, least + more))

    def _asked(self, event: object) -> bool:
        before = self.world.state
        try:
            self.world.feed(event)  # type: ignore[arg-type]
        except ArgosyError:
            assert self.world.state == before
            return False
        return True

    @precondition(lambda self: "fashion" in self.world.state.services)
    @rule(data=st.data(), desired=st.integers(-1, 9))
    def desire(self, data: st.DataObject, desired: int) -> None:
        revision = data.draw(st.sampled_from(self.world.service.revisions))
        member = data.draw(st.sampled_from(revision.members))
        self.world.feed(ReplicasDesired(self.world.time, "fashion", revision.number, member, desired))

    @precondition(lambda self: "fashion" in self.world.state.services)
    @rule(data=st.data())
    def demand(self, data: st.DataObject) -> None:
        revision = data.draw(st.sampled_from(self.world.service.revisions))
        part = data.draw(st.sampled_from(revision.parts))
        self.world.feed(ReplicasDemanded(self.world.time, "fashion", revision.number, part))

    @precondition(lambda self: bool(self.world.alive))
    @rule(data=st.data())
    def kill(self, data: st.DataObject) -> None:
        self.world.end(data.draw(st.sampled_from(sorted(self.world.alive))))

    @precondition(lambda self: bool(self.world.alive))
    @rule(data=st.data(), reason=st.sampled_from(["", "no answer within 2 s"]))
    def check(self, data: st.DataObject, reason: str) -> None:
        attempt = data.draw(st.sampled_from(sorted(self.world.alive)))
        self.world.feed(ReplicaChecked(self.world.time, attempt, self.world.alive[attempt], reason))

    @precondition(lambda self: bool(self.world.starting()))
    @rule(data=st.data())
    def listen(self, data: st.DataObject) -> None:
        attempt = data.draw(st.sampled_from(sorted(self.world.starting())))
        self.world.listen(attempt)

    @precondition(lambda self: bool(self.world.starting()))
    @rule()
    def listen_all(self) -> None:
        self.world.listen()

    @precondition(lambda self: bool(probes(self.world.state)))
    @rule()
    def answer(self) -> None:
        self.world.answer_probes()

    @rule(seconds=st.floats(0.01, 700))
    def wait(self, seconds: float) -> None:
        self.world.tick(seconds)

    @rule()
    def end_stopped(self) -> None:
        self.world.end_stopped()

    @rule()
    def crash_at_the_next_commit(self) -> None:
        """What is decided next is stored and not carried out."""
        self.world.crashing = True

    @rule(gateway=st.booleans(), replicas=st.booleans())
    def restart(self, gateway: bool, replicas: bool) -> None:
        kept = {GATEWAY_ATTEMPT: gateway}
        self.world = restarted(self.world, lambda attempt: kept.get(attempt, replicas))

    @invariant()
    def shares_are_whole_and_lead_to_what_can_answer(self) -> None:
        wanted = topology(self.world.state)
        backends = {(one.service, one.revision): one for one in wanted.backends}
        clusters = {one.name for one in wanted.clusters}
        for public in wanted.services:
            assert sum(share.percent for share in public.shares) == 100
            assert all(share.percent > 0 for share in public.shares)
            for share in public.shares:
                assert self.world.service.revision(share.revision).phase in PUBLIC  # type: ignore[union-attr]
                assert (public.name, share.revision) in backends
            if public.shadow is not None:
                assert public.shadow.cluster in clusters
        for backend in wanted.backends:
            assert {cluster for _, cluster in backend.models} <= clusters
        assert clusters <= supplies(self.world.state).keys()

    @invariant()
    def a_service_that_got_requests_goes_on_to_get_them(self) -> None:
        for service in self.world.state.services.values():
            if service.traffic.shares and not service.deleting:
                assert service.current is not None

    @invariant()
    def phases_follow_the_traffic(self) -> None:
        for service in self.world.state.services.values():
            assert service.coming is None or not service.deleting
            fresh = [
                one.number
                for one in service.revisions
                if one.phase in (RevisionPhase.STARTING, RevisionPhase.PROVING) and not one.proved
            ]
            assert len(fresh) <= 1
            for revision in service.revisions:
                assert (revision.phase in PUBLIC) == (revision.number in service.traffic.revisions)
                if revision.phase is RevisionPhase.RETIRED:
                    assert not revision.replicas
            resting = [one for one in service.revisions if one.phase is RevisionPhase.RETIRED]
            assert len(resting) <= SETTINGS.kept_revisions + 3

    @invariant()
    def no_part_has_more_replicas_than_it_may(self) -> None:
        for service in self.world.state.services.values():
            for revision in service.revisions:
                for part in revision.parts:
                    staying = revision.staying(part)
                    if revision.phase in ALIVE:
                        assert len(staying) == revision.wanted(part) <= revision.most
                comparers = [one for one in revision.of(COMPARER) if one.phase not in ENDING]
                assert len(comparers) <= 1

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
        """Left in peace, what was asked for last is so, unless it failed and said so."""
        for _ in range(20):
            self._end_hung()
            self.world.end_stopped()
            self.world.listen(*map(str, self.world.starting()))
            self.world.answer_probes()
            self.world.tick(11)
            gateway = self.world.state.gateway
            if GATEWAY_ATTEMPT not in self.world.alive and gateway.phase is GatewayPhase.STARTING:
                self.world.alive[GATEWAY_ATTEMPT] = gateway.token
        if self.deployed is None:
            assert "fashion" not in self.world.state.services
            return
        service = self.world.service
        assert service.pending is None
        if service.failed is not None or service.reason:
            return
        if self.pointed is None and self.deployed.options.release.mode is ReleaseMode.HOLD:
            return
        assert service.current is not None
        if self.pointed is not None:
            assert dict(service.traffic.shares) == self.pointed
        elif self.deployed.options.release.mode is ReleaseMode.REPLACE:
            assert service.current.deployment.settings() == self.deployed.settings()
            assert service.traffic.percent(service.current.number) == 100

    def _end_hung(self) -> None:
        for _, _, replica in tuple(all_replicas(self.world.state)):
            if replica.phase is ReplicaPhase.HUNG and replica.attempt in self.world.alive:
                self.world.end(AttemptId(replica.attempt))


TestServing = Serving.TestCase
TestServing.settings = hypothesis_settings(max_examples=150, stateful_step_count=40, deadline=None)
