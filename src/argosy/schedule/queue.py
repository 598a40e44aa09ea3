"""The one place where the scheduler's state is held while a control plane lives."""

from __future__ import annotations

from argosy.schedule.core import Adopted, CapacityChanged, Event, Submitted, Withdrawn, decide, explain
from argosy.schedule.model import Capacity, Job, JobId
from argosy.schedule.policy import Policy, first_come_first_served
from argosy.schedule.state import ScheduleState, never_fits


class JobQueue:
    """Feeds events to the policy and collects grants until :meth:`take_granted` is called.

    ``state`` may be saved and put back, to undo what could not be committed.
    """

    def __init__(self, capacity: Capacity, policy: Policy = first_come_first_served):
        self.state = ScheduleState(capacity)
        self._policy = policy
        self._granted: dict[JobId, None] = {}
        self._explained: tuple[ScheduleState, dict[JobId, str]] | None = None

    def submit(self, job: Job) -> None:
        self._handle(Submitted(job))

    def adopt(self, job: Job) -> None:
        self._handle(Adopted(job))

    def withdraw(self, job: JobId) -> None:
        self._granted.pop(job, None)
        self._handle(Withdrawn(job))

    def change_capacity(self, capacity: Capacity) -> None:
        self._handle(CapacityChanged(capacity))

    def take_granted(self) -> list[JobId]:
        granted, self._granted = self._granted, {}
        return list(granted)

    def fits_ever(self, job: Job) -> bool:
        return not never_fits(job, self.state.capacity)

    def explain(self, job: JobId) -> str:
        """Why a job waits; empty for one that does not."""
        if self._explained is None or self._explained[0] is not self.state:
            self._explained = self.state, explain(self.state)
        return self._explained[1].get(job, "")

    def _handle(self, event: Event) -> None:
        self.state, decisions = decide(self.state, event, self._policy)
        self._granted.update((decision.job, None) for decision in decisions)
