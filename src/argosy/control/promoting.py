"""Promotion: a revision takes over when it is no worse than what serves, and the figures are kept."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from pathlib import Path
from typing import Any

import msgspec

from argosy.api.serving import PromoteRequest
from argosy.api.views import RevisionView, ServiceView
from argosy.artifacts.handles import read_card
from argosy.artifacts.reference import ArtifactReference
from argosy.artifacts.store import ArtifactStore
from argosy.control.tasks import Tasks
from argosy.data.manifest import FILE_NAME
from argosy.errors import ArgosyError, Conflict, InvalidInput, InvalidRequest, NotFound
from argosy.home import Home
from argosy.metadata.store import MetadataStore
from argosy.serve.gateway.files import GatewayFiles
from argosy.serve.lifecycle.topology import authority
from argosy.serve.promotion.verdicts import Evaluation, Verdict, judge, judge_recorded

_SECONDS = 600.0


class Promotion:
    """Finds out why a revision may, or may not, take over."""

    def __init__(self, home: Home, store: MetadataStore, artifacts: ArtifactStore, tasks: Tasks) -> None:
        self._home = home
        self._store = store
        self._artifacts = artifacts
        self._tasks = tasks

    async def reason(self, view: ServiceView, request: PromoteRequest) -> str:
        """Why the revision takes over, with the figures. Raises Conflict when it is worse than what serves,
        InvalidRequest when nothing is known to compare by."""
        candidate = find_revision(view, request.revision)
        if candidate.state not in ("serving", "standby"):
            why = f": {candidate.reason}" if candidate.reason else ""
            raise Conflict(
                f"revision {candidate.revision} of service {view.name!r} can not serve, it is "
                f"{candidate.state}{why}",
                hint=f"'argosy service {view.name}' shows the revisions that can",
            )
        serving = _serving(view, candidate.revision)
        if request.force:
            return f"forced by {request.user or 'a user'} without a comparison"
        if serving is None:
            return "nothing else serves"
        verdict = await self._compare(view, serving, candidate, request)
        if not verdict.promote:
            raise Conflict(
                f"revision {candidate.revision} of service {view.name!r} is not promoted: {verdict.reason}",
                hint=f"'argosy promote {view.name} {candidate.revision} --force' promotes it all the same",
            )
        return verdict.reason

    async def _compare(
        self, view: ServiceView, serving: RevisionView, candidate: RevisionView, request: PromoteRequest
    ) -> Verdict:
        folder = await asyncio.to_thread(self._dataset, request.data, candidate, serving)
        if folder is not None:
            _require_processes(view, serving, candidate)
            found = await self._evaluate(view.name, serving.revision, candidate.revision, folder)
            return judge(found, serving.revision, candidate.revision, request.margin)
        recorded = judge_recorded(self._metrics(serving), self._metrics(candidate), request.margin)
        if recorded is None:
            raise InvalidRequest(
                f"revisions {serving.revision} and {candidate.revision} of service {view.name!r} can not be "
                "compared: their models name no dataset and no metrics that both have",
                hint="name a dataset with --data DATASET, or promote without looking with --force",
            )
        return recorded

    async def _evaluate(self, service: str, serving: int, candidate: int, dataset: Path) -> Evaluation:
        result = self._home.work / f"evaluation-{secrets.token_hex(6)}.json"
        payload = {
            "service": service,
            "authorities": [authority(service, serving), authority(service, candidate)],
            "socket": GatewayFiles(self._home).paths.internal_socket,
            "dataset": str(dataset),
            "result": str(result),
        }
        try:
            await self._tasks.run(
                "comparison", "argosy.serve.promotion.evaluation", "main", payload, _SECONDS
            )
            return msgspec.json.decode(result.read_bytes(), type=Evaluation)
        finally:
            with contextlib.suppress(OSError):
                result.unlink()

    def _dataset(self, data: str, candidate: RevisionView, serving: RevisionView) -> Path | None:
        """The folder of the dataset that was named, or of the one that a model was trained on."""
        if data.startswith("/"):
            return _folder(Path(data))
        if data:
            return self._artifact(data)
        for member in (*candidate.members, *serving.members):
            digest = str(self._card(member.digest).get("dataset", ""))
            reference = ArtifactReference(digest, "dataset", 0)
            if digest and self._artifacts.exists(reference):
                return self._artifacts.path(reference)
        return None

    def _artifact(self, prefix: str) -> Path:
        digest = prefix.removeprefix("artifact:")
        found = self._store.artifacts(digest, "dataset")
        if not found:
            raise NotFound(
                f"there is no dataset artifact {digest!r}",
                hint="'argosy show RUN' prints the digests of what a run made; a folder is named by its path",
            )
        if len(found) > 1:
            shown = ", ".join(record.digest[:16] for record in found[:5])
            raise InvalidRequest(f"dataset {digest!r} may be any of {shown}", hint="write more of the digest")
        return self._artifacts.path(ArtifactReference(found[0].digest, "dataset", found[0].size))

    def _metrics(self, revision: RevisionView) -> dict[str, float]:
        """Of a revision of one model; an ensemble was never measured as a whole."""
        if len(revision.members) != 1:
            return {}
        metrics = self._card(revision.members[0].digest).get("metrics", {})
        return {name: value for name, value in metrics.items() if isinstance(value, int | float)}

    def _card(self, digest: str) -> dict[str, Any]:
        try:
            return read_card(self._artifacts.path(ArtifactReference(digest, "model", 0)))
        except ArgosyError:
            return {}


def find_revision(view: ServiceView, number: int) -> RevisionView:
    """A revision of a service. Raises NotFound."""
    for revision in view.revisions:
        if revision.revision == number:
            return revision
    numbers = ", ".join(str(revision.revision) for revision in view.revisions) or "none"
    raise NotFound(
        f"service {view.name!r} has no revision {number}", hint=f"its revisions here are {numbers}"
    )


def _serving(view: ServiceView, candidate: int) -> RevisionView | None:
    """The revision that most requests come to, but for the candidate."""
    others = [one for one in view.revisions if one.percent > 0 and one.revision != candidate]
    return max(others, key=lambda one: one.percent, default=None)


def _require_processes(view: ServiceView, serving: RevisionView, candidate: RevisionView) -> None:
    """Raises Conflict for a revision that nobody can ask: not even a request would start it."""
    if view.replicas[0] == 0 or any(member.replicas for member in candidate.members):
        return
    rule = f"'x-compare: yes={candidate.revision}'"
    raise Conflict(
        f"revision {candidate.revision} of service {view.name!r} has no processes, so it can not be compared",
        hint=f'"argosy traffic {view.name} {serving.revision}=100 --header {rule}" starts it without '
        "requests; then promote it",
    )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        # Too long for a name, or not one at all.
        return False


def _folder(path: Path) -> Path:
    if not _is_file(path / FILE_NAME):
        raise InvalidInput(
            f"{path} is not a dataset: it has no {FILE_NAME}",
            hint="name a folder that argosy.data wrote, or the digest of a dataset artifact",
        )
    return path
