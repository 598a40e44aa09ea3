"""Says what changes of services, to whoever listens and to whoever deployed them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from argosy.serve.deployment import ServiceChange
from argosy.serve.lifecycle.events import AnswerAsker, ServeCommand
from argosy.serve.lifecycle.state import ServeState, Service, Settings
from argosy.serve.manager.summary import Summary, summarize
from argosy.serve.manager.views import predict_url


class Announcer:
    """``address`` is the gateway's; ``on_change`` hears of each change."""

    def __init__(
        self, on_change: Callable[[ServiceChange], None], settings: Settings, address: Callable[[], str]
    ) -> None:
        self._on_change = on_change
        self._settings = settings
        self._address = address
        self._summaries: dict[str, Summary] = {}

    def answer(self, command: ServeCommand) -> None:
        """What a deployment came to; other commands are none of this one's business."""
        if isinstance(command, AnswerAsker):
            change = self._change(command.service, Summary(command.state, command.revision, command.reason))
            asker = command.asker
            self._on_change(replace(change, run=asker.run, node=asker.node, generation=asker.generation))

    def tell(self, state: ServeState) -> None:
        """Say what changed, except to a service's deployer who waits for the answer to something else."""
        summaries = {
            name: summarize(state, service, self._settings) for name, service in state.services.items()
        }
        for name, summary in summaries.items():
            if summary != self._summaries.get(name) and not _is_awaited(state.services[name]):
                self._on_change(self._change(name, summary))
        self._summaries = summaries

    def _change(self, service: str, summary: Summary) -> ServiceChange:
        endpoint = {"name": service, "url": predict_url(self._address(), service)}
        return ServiceChange(service, summary.revision, summary.state, summary.reason, endpoint)


def _is_awaited(service: Service) -> bool:
    return any(revision.askers for revision in service.revisions)
