"""Services as records: what a control plane knows before it acts, and its successor after it."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Protocol

import msgspec

from argosy.errors import ArgosyError
from argosy.metadata.records import Record, ServiceRecord
from argosy.serve.lifecycle.state import ServeState, Service, upgraded

log = logging.getLogger(__name__)


class ServiceRecords(Protocol):
    """What of the metadata store is used here."""

    def services(self) -> list[ServiceRecord]: ...

    def write(self, records: Iterable[Record]) -> None: ...

    def delete_service(self, name: str) -> None: ...


class ServiceStore:
    """Keeps the records in step with a state. What could not be written is ``unstored``, and tried again
    with the next change."""

    def __init__(self, records: ServiceRecords) -> None:
        self._records = records
        self.unstored: set[str] = set()

    def load(self) -> dict[str, Service]:
        services = {}
        for record in self._records.services():
            try:
                services[record.service] = upgraded(msgspec.json.decode(record.state, type=Service))
            except msgspec.MsgspecError as error:
                log.warning(
                    "the record of service %r can not be read and is left alone: %s", record.service, error
                )
        return services

    def store(self, before: ServeState, state: ServeState, *, must: bool) -> None:
        """Write what differs. Raises Unavailable only when it ``must`` be stored."""
        names = {*before.services, *state.services}
        changed = {name for name in names if before.services.get(name) is not state.services.get(name)}
        changed |= self.unstored
        try:
            self._write(state, sorted(changed))
        except ArgosyError as error:
            if must:
                raise
            # A replica is replaced though the disk is full; a successor ends what no record speaks of.
            log.warning("services are not stored: %s", error.message)
            self.unstored = changed
        else:
            self.unstored = set()

    def _write(self, state: ServeState, names: list[str]) -> None:
        records = [_record(state.services[name]) for name in names if name in state.services]
        if records:
            self._records.write(records)
        for name in names:
            if name not in state.services:
                self._records.delete_service(name)


def _record(service: Service) -> ServiceRecord:
    newest = service.revisions[-1].deployment if service.revisions else None
    return ServiceRecord(
        service=service.name,
        revision=service.last_revision,
        created_at=service.created_at,
        specification=msgspec.json.encode(newest),
        state=msgspec.json.encode(service),
    )
