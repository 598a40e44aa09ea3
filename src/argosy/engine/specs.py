"""From a Launch command to the specification the runtime starts processes from."""

from __future__ import annotations

from argosy.engine.commands import Launch
from argosy.engine.identity import attempt_id, file_name
from argosy.engine.state import Plan
from argosy.flow.graph import NodeId, StepNode
from argosy.home import Home
from argosy.runtime.protocol import AttemptId, AttemptSpec, StepCall
from argosy.schedule.model import Demand, Job, JobId


def job_for(plan: Plan, node: NodeId, attempt: AttemptId, queued_at: float | None) -> Job:
    """What an attempt asks the scheduler for: every rank of its gang, all or none."""
    step = plan.step_of(node)
    resources = step.resources
    demand = Demand(resources.cpu, resources.memory or 0, resources.gpu)
    return Job(
        JobId(attempt),
        demand,
        step.gang.workers,
        step.priority,
        arrival=(queued_at or 0.0, plan.position(node)),
    )


def log_pattern(home: Home, run: str, node: NodeId, number: int) -> str:
    """Where the ranks of an attempt write, with ``{rank}`` to fill in."""
    return str(home.logs / run / f"{file_name(node)}.{number}.rank{{rank}}.log")


def attempt_spec(home: Home, plan: Plan, launch: Launch) -> AttemptSpec:
    step: StepNode = plan.step_of(launch.node)
    return AttemptSpec(
        attempt=attempt_id(plan.run, launch.node, launch.token),
        token=launch.token,
        call=StepCall(plan.graph.source.digest, step.module, step.function, launch.inputs, step.output),
        directory=str(home.work / f"{plan.run}.{file_name(launch.node)}.{launch.token}"),
        log=log_pattern(home, plan.run, launch.node, launch.token),
        workers=step.gang.workers,
        cpu=step.resources.cpu,
        preload=step.preload,
        node_directory=str(home.nodes / plan.run / file_name(launch.node)),
        memory=step.resources.memory,
        timeout_seconds=step.timeout_seconds,
        environment={"ARGOSY_RUN": plan.run, "ARGOSY_NODE": launch.node},
        labels={"run": plan.run, "node": launch.node},
    )
