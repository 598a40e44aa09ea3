"""Carries out what the lifecycle asks of processes and of the gateway."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from argosy.errors import ArgosyError
from argosy.home import Home
from argosy.runtime.protocol import AttemptId, Cause, Ended, RuntimeEvent, Started
from argosy.serve.gateway.files import GatewayFiles, Remembered, choose_port, gateway_spec
from argosy.serve.lifecycle.events import (
    Acknowledge,
    KillProcess,
    ProcessEnded,
    ServeCommand,
    StartGateway,
    StartReplica,
    StopProcess,
)
from argosy.serve.lifecycle.state import GATEWAY_ATTEMPT, ServeState
from argosy.serve.manager.preloading import Preloads
from argosy.serve.manager.processes import ModelPath, Processes, kill, replica_spec
from argosy.serve.manager.steady import SteadyClock


class Commander:
    """``port`` is the gateway's, or 0 while it was never started."""

    def __init__(
        self,
        home: Home,
        files: GatewayFiles,
        processes: Processes,
        model_path: ModelPath,
        preloads: Preloads,
        clock: SteadyClock,
        preferred_port: int,
    ) -> None:
        self.port = 0
        self._home = home
        self._files = files
        self._processes = processes
        self._model_path = model_path
        self._preloads = preloads
        self._clock = clock
        self._preferred_port = preferred_port
        self._pids: dict[tuple[AttemptId, int], tuple[int, int]] = {}

    def note(self, event: RuntimeEvent) -> None:
        """Remember which process an attempt is, as long as it is one."""
        if isinstance(event, Started):
            self._pids[event.attempt, event.token] = event.processes[0]
        elif isinstance(event, Ended):
            self._pids.pop((event.attempt, event.token), None)

    def carry_out(self, state: ServeState, command: ServeCommand) -> list[ProcessEnded]:
        """What could not be started has ended with the reason."""
        match command:
            case StartReplica(replica=replica):
                launch = partial(self._launch, state, command)
                return self._attempt(replica.attempt, replica.token, launch)
            case StartGateway(token):
                return self._attempt(GATEWAY_ATTEMPT, token, partial(self._launch_gateway, token))
            case StopProcess(attempt, reason):
                self._processes.stop(attempt, Cause.CANCELLED, reason)
            case KillProcess(attempt, token, _):
                if (process := self._pids.get((attempt, token))) is not None:
                    kill(process)
            case Acknowledge(attempt, token):
                self._processes.acknowledge(attempt, token)
            case _:
                pass
        return []

    def _attempt(self, attempt: AttemptId, token: int, launch: Callable[[], None]) -> list[ProcessEnded]:
        try:
            launch()
        except ArgosyError as error:
            return [ProcessEnded(self._clock.now(), attempt, token, str(error))]
        return []

    def _launch(self, state: ServeState, command: StartReplica) -> None:
        service = state.services.get(command.service)
        revision = service.revision(command.revision) if service else None
        if revision is not None:
            socket_path = self._files.paths.internal_socket
            preload = self._preloads.of(revision, command.replica.member)
            spec = replica_spec(self._home, revision, command.replica, self._model_path, socket_path, preload)
            self._processes.launch(spec)

    def _launch_gateway(self, token: int) -> None:
        self.port = choose_port(self._files.remembered().port, self._preferred_port)
        self._files.remember(Remembered(self.port, token))
        self._files.write_bootstrap(self.port)
        self._processes.launch(gateway_spec(self._home, token, self._files.bootstrap_file))
