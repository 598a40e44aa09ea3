"""Carrying out what touches the outside: processes, services and timers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from argosy.clock import Clock
from argosy.engine import commands, specs
from argosy.engine.events import AttemptEnded, BackoffElapsed, Event, ServiceFailed
from argosy.engine.ports import Processes, Services
from argosy.engine.state import Plan
from argosy.flow.graph import ServiceNode
from argosy.home import Home
from argosy.runtime.protocol import Cause, Outcome

_LOG = logging.getLogger(__name__)


class Outside:
    """Sends committed commands to those who carry them out. ``post(run, event)`` takes in what follows."""

    def __init__(
        self,
        home: Home,
        processes: Processes,
        services: Services,
        clock: Clock,
        post: Callable[[str, Event], None],
    ):
        self._home = home
        self._processes = processes
        self._services = services
        self._clock = clock
        self._post = post
        self._timers: set[asyncio.TimerHandle] = set()

    def carry_out(self, plan: Plan, command: commands.Command) -> None:
        """Send a command. One that can not be sent is answered as if it had failed: no run waits for ever."""
        try:
            self._send(plan, command)
        except Exception as error:
            _LOG.exception("%s of run %s could not be sent", type(command).__name__, plan.run)
            answer = _refused(command, str(error), self._clock.now())
            if answer is not None:
                self._post(plan.run, answer)

    def _send(self, plan: Plan, command: commands.Command) -> None:
        match command:
            case commands.Launch():
                self._processes.launch(specs.attempt_spec(self._home, plan, command))
            case commands.Stop(attempt, cause, message):
                self._processes.stop(attempt, cause, message)
            case commands.StartTimer(node, number, time):
                self.later(
                    max(0.0, time - self._clock.now()),
                    lambda: self._post(plan.run, BackoffElapsed(self._clock.now(), node, number)),
                )
            case commands.Deploy(node, generation, models):
                service = plan.nodes[node]
                assert isinstance(service, ServiceNode)
                self._services.deploy(plan.run, node, generation, service, models)
            case _:
                raise TypeError(f"{type(command).__name__} is not carried out after a commit")

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Call ``action`` after a while, unless :meth:`close` comes first."""

        def act() -> None:
            self._timers.discard(handle)
            action()

        handle = asyncio.get_running_loop().call_later(seconds, act)
        self._timers.add(handle)

    def close(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()


def _refused(command: commands.Command, error: str, now: float) -> Event | None:
    match command:
        case commands.Launch(_, attempt, token):
            return AttemptEnded(now, attempt, token, Outcome(Cause.LOST, f"could not be started: {error}"))
        case commands.Deploy(node, generation):
            return ServiceFailed(now, node, generation, f"could not be deployed: {error}")
        case _:
            return None
