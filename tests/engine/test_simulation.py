"""Random graphs in random worlds: every law after every event, to the end of every run."""

from __future__ import annotations

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from argosy.engine.core import decide
from argosy.engine.events import Event
from argosy.engine.state import GOOD_ENDS, Phase, Plan, RunPhase, RunState
from argosy.flow.graph import Graph, NodeId

from .random_graphs import graphs, plain_fan_in
from .world import World

SEEDS = st.integers(0, 2**32)
QUICK = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))


@QUICK
@given(graph=graphs(), seed=SEEDS)
def test_every_run_ends_whatever_happens_and_no_law_is_broken_on_the_way(graph: Graph, seed: int) -> None:
    first = World(graph, seed, faults=True)
    first.play()
    second = World(graph, seed + 1, faults=True, earlier=first)
    second.play()
    for world in (first, second):
        assert world.state.phase is not RunPhase.RUNNING
        assert not world.alive


@QUICK
@given(graph=graphs(), seed=SEEDS)
def test_folding_the_committed_events_gives_the_same_state_at_every_prefix(graph: Graph, seed: int) -> None:
    world = World(graph, seed, faults=True)
    world.play()
    state, plan = RunState(), Plan("run", msgspec.json.decode(msgspec.json.encode(graph), type=Graph))
    for event, expected in zip(world.events, world.states, strict=True):
        decoded = msgspec.json.decode(msgspec.json.encode(event), type=Event)
        state = decide(plan, state, decoded).state
        assert state == expected


@QUICK
@given(graph=graphs(), seed=SEEDS)
def test_results_that_arrive_one_by_one_end_as_plain_fan_in_over_the_succeeded(
    graph: Graph, seed: int
) -> None:
    first = World(graph, seed + 1, faults=True)
    first.play()
    world = World(graph, seed, faults=False, earlier=first)
    world.play()
    spoiled = _below_late_failures(world)
    for node, expected in plain_fan_in(graph, world.functions).items():
        state = world.state.nodes[node]
        if node in spoiled:
            continue
        if isinstance(expected, str):
            assert state.phase is Phase(expected), (node, state.reason)
        else:
            assert state.phase in GOOD_ENDS, (node, state.reason)
            assert state.output == expected


def _below_late_failures(world: World) -> set[NodeId]:
    """Nodes that keep what they made of an output whose node failed when it ran again with more."""
    spoiled: set[NodeId] = set()
    for node in world.plan.nodes:
        for above in world.plan.upstream[node]:
            state = world.state.nodes[above]
            kept = state.phase not in GOOD_ENDS and state.output is not None
            if kept or above in spoiled:
                spoiled.add(node)
    return spoiled
