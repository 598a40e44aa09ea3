"""The attempts that serving is made of, as the runtime takes them, and what the runtime must offer."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from argosy.artifacts.reference import ArtifactReference
from argosy.home import Home
from argosy.runtime import linux
from argosy.runtime.protocol import AttemptId, AttemptSpec, Cause, EntryCall, Outcome
from argosy.serve.lifecycle.state import COMPARER, MOST_ROUTERS, ROUTER, Replica, Revision, place
from argosy.serve.lifecycle.topology import authority, member_model, model_names
from argosy.serve.specs import INFERENCE_OVERDUE, ComparerSpec, ReplicaSpec, RouterSpec

# Longer than any request may take, so that a drained process is never killed with one in flight.
GRACE_SECONDS = 70.0


class Processes(Protocol):
    """What of the runtime is used here."""

    def launch(self, spec: AttemptSpec) -> None: ...

    def stop(self, attempt: AttemptId, cause: Cause, message: str = "") -> None: ...

    def acknowledge(self, attempt: AttemptId, token: int) -> None: ...

    def keep_warm(self, preloads: frozenset[tuple[str, ...]]) -> None: ...


ModelPath = Callable[[ArtifactReference], Path]


def replica_spec(
    home: Home,
    revision: Revision,
    replica: Replica,
    model_path: ModelPath,
    internal_socket: str,
    preload: tuple[str, ...],
) -> AttemptSpec:
    """The attempt of a model server or router. Raises ArgosyError when the model's files are gone."""
    if replica.member == ROUTER:
        call = _router_call(home, revision, internal_socket)
    elif replica.member == COMPARER:
        call = _comparer_call(revision, replica, internal_socket)
    else:
        call = _replica_call(revision, replica.member, model_path)
    service = revision.deployment.service
    name = replica.attempt.removeprefix(f"service-{service}.")
    return AttemptSpec(
        attempt=replica.attempt,
        token=replica.token,
        call=call,
        directory=str(home.work / replica.attempt),
        log=str(home.logs / "services" / service / f"{name}.{{rank}}.log"),
        preload=preload,
        grace_seconds=GRACE_SECONDS,
        labels={"kind": "service", "service": service, "revision": str(revision.number)},
    )


def ending(outcome: Outcome) -> str:
    """Why a process ended, in a sentence."""
    if outcome.message:
        return outcome.message
    if outcome.signal == signal.SIGPROF:
        return "its model took longer than inference_seconds, and let nothing else run"
    if outcome.signal is not None:
        return f"it was killed by signal {outcome.signal}"
    if outcome.exit_code == INFERENCE_OVERDUE:
        return "its model took longer than inference_seconds; the replica's log says for which request"
    if outcome.exit_code:
        return f"it ended with exit code {outcome.exit_code}"
    return f"it ended ({outcome.cause})"


def kill(process: tuple[int, int]) -> None:
    """End (pid, start time in clock ticks) at once, unless the number belongs to another process by now.

    A process whose start time is not known (0) is taken by its number.
    """
    pid, ticks = process
    if not ticks or linux.start_ticks(pid) == ticks:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _replica_call(revision: Revision, member: str, model_path: ModelPath) -> EntryCall:
    model = next(one for one in revision.deployment.models if one.name == member)
    spec = ReplicaSpec(
        directory=str(model_path(model.reference)),
        names=model_names(revision, member),
        version=revision.deployment.version or revision.number,
        batching=revision.deployment.options.batching,
    )
    return EntryCall("argosy.serve.model_server.replica", "main", msgspec.to_builtins(spec))


def _router_call(home: Home, revision: Revision, internal_socket: str) -> EntryCall:
    service, options = revision.deployment.service, revision.deployment.options
    spec = RouterSpec(
        service=service,
        members=tuple(member_model(service, name) for name in revision.members),
        aggregate=revision.deployment.aggregate,
        socket=internal_socket,
        authority=authority(service, revision.number),
        version=revision.deployment.version or revision.number,
        ensemble=options.ensemble,
        sharding=options.sharding if revision.is_sharded else None,
        sources=str(home.sources),
        parts=max(1, (options.batching.queue_requests + 1) // MOST_ROUTERS),
    )
    return EntryCall("argosy.serve.router.router", "main", msgspec.to_builtins(spec))


def _comparer_call(revision: Revision, comparer: Replica, internal_socket: str) -> EntryCall:
    service = revision.deployment.service
    serving = int(place(comparer).rpartition("-")[2])
    spec = ComparerSpec(
        service=service,
        authorities=(authority(service, serving), authority(service, revision.number)),
        revisions=(serving, revision.number),
        socket=internal_socket,
    )
    return EntryCall("argosy.serve.router.comparer", "main", msgspec.to_builtins(spec))
