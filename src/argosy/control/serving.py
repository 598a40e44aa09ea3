"""From models that people name to a service that answers."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace

import msgspec

from argosy.api.serving import ServeProgress, ServeRequest
from argosy.api.views import ServiceView
from argosy.artifacts.reference import ArtifactReference
from argosy.control.changing import traffic_text
from argosy.control.folders import FolderWatcher, Watch
from argosy.control.importing import Described, Importer, ModelFiles, StoredModel
from argosy.control.service_ports import ServiceControl, find_service
from argosy.control.sources import store_source
from argosy.errors import ArgosyError, Conflict, InvalidRequest, RunFailed
from argosy.flow.service_options import FunctionReference, ServiceOptions
from argosy.home import Home
from argosy.serve.deployment import Deployment, ModelReference, ServiceChange, checked

Source = StoredModel | ModelFiles
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Serving:
    """Makes services for the API, and for folders in which newer versions appear."""

    def __init__(self, home: Home, services: ServiceControl, importer: Importer) -> None:
        self._home = home
        self._services = services
        self._importer = importer
        self._asked: dict[str, asyncio.Queue[ServiceChange]] = {}
        self._folders = FolderWatcher(home.root / "watches.json", self._deploy_version)

    def start(self) -> None:
        self._importer.start()
        self._folders.start()

    async def close(self) -> None:
        await self._folders.close()

    def on_change(self, change: ServiceChange) -> None:
        """What the serve room announces."""
        if change.node in self._asked:
            self._asked[change.node].put_nowait(change)
        elif not change.run and not change.node:
            for key, queue in self._asked.items():
                if key.endswith(f" {change.service}"):
                    queue.put_nowait(change)

    def views(self) -> list[ServiceView]:
        """Every service; where the newest version in its folder could not be deployed, with the reason."""
        views = self._services.views()
        faults = {view.name: self._folders.fault(view.name) for view in views}
        return [
            replace(view, reason="; ".join(filter(None, (view.reason, faults[view.name])))) for view in views
        ]

    def forget(self, service: str) -> None:
        """The service is gone: nothing is deployed to it any more."""
        self._folders.forget(service)

    async def serve(self, request: ServeRequest) -> AsyncIterator[ServeProgress]:
        """Import, store and deploy, saying how far it is, until the service answers. What can be seen to be
        wrong at once is raised here, the rest by the iterator. A service that did not exist before and can
        not be started is gone again."""
        _check(request)
        sources = [await self._importer.find(model) for model in request.models]
        if request.watch and not _watch(request, sources):
            raise InvalidRequest(
                f"{request.models[0]} is not a folder of numbered versions, so there is nothing to watch",
                hint="serve it without --watch",
            )
        self._store_sources(request)
        return self._serve(request, sources)

    def _store_sources(self, request: ServeRequest) -> None:
        for digest, texts in request.sources.items():
            store_source(self._home, digest, texts)
        for place, function in _functions(request.options):
            if not _DIGEST.fullmatch(function.source) or not (self._home.sources / function.source).is_dir():
                raise InvalidRequest(
                    f"{place} is in the source snapshot {function.source[:12]!r}, which is not here",
                    hint="send its files under 'sources'",
                )

    async def _serve(self, request: ServeRequest, sources: list[Source]) -> AsyncIterator[ServeProgress]:
        described = Described(tuple(request.labels), request.preprocessing)
        models = []
        for source in sources:
            async with contextlib.aclosing(self._take(source, described)) as taking:
                async for said in taking:
                    if isinstance(said, ModelReference):
                        models.append(said)
                    else:
                        yield ServeProgress("importing", said)
        deployment = _deployment(request, models, sources)
        before = self._find(request.name)
        earlier = self._folders.watched(request.name)
        try:
            async with contextlib.aclosing(self._deploy(deployment, before)) as steps:
                async for step in steps:
                    self._remember(request.name, _watch(request, sources))
                    yield step
                    if request.detach:
                        return
        except ArgosyError:
            self._remember(request.name, earlier)
            raise

    async def _take(self, source: Source, described: Described) -> AsyncGenerator[str | ModelReference, None]:
        """What the import says, and the model at last. Closing it ends the import."""
        said: asyncio.Queue[str] = asyncio.Queue()
        taking = asyncio.ensure_future(self._importer.take(source, described, said.put_nowait))
        listening = asyncio.ensure_future(said.get())
        try:
            while not taking.done():
                await asyncio.wait({taking, listening}, return_when=asyncio.FIRST_COMPLETED)
                if listening.done():
                    yield listening.result()
                    listening = asyncio.ensure_future(said.get())
            yield await taking
        finally:
            taking.cancel()
            listening.cancel()
            await asyncio.gather(taking, listening, return_exceptions=True)

    async def _deploy(
        self, deployment: Deployment, before: ServiceView | None
    ) -> AsyncGenerator[ServeProgress, None]:
        name, key = deployment.service, f"serve-{secrets.token_hex(6)} {deployment.service}"
        queue = self._asked[key] = asyncio.Queue()
        try:
            self._services.deploy(msgspec.structs.replace(deployment, node=key))
            if _newest(self._find(name)) > _newest(before):
                yield self._progress("starting", f"starting {name}", name)
            async for change in _until_answered(queue, key):
                yield self._progress("starting", change.reason, name)
        except ArgosyError:
            if before is None and _is_hopeless(self._find(name)):
                with contextlib.suppress(ArgosyError):
                    self._services.delete(name)
            raise
        finally:
            del self._asked[key]
        if before is not None and _is_same(before, self._find(name)):
            message = f"service {name} is this already (revision {_newest(before)}): nothing was changed"
            yield self._progress("unchanged", message, name)
        else:
            yield self._progress("ready", _ready(name, self._find(name)), name)

    def _progress(self, stage: str, message: str, name: str) -> ServeProgress:
        return ServeProgress(stage, message, self._find(name))

    def _find(self, name: str) -> ServiceView | None:
        return next((view for view in self._services.views() if view.name == name), None)

    # Folders of versions

    def _remember(self, service: str, watched: Watch | None) -> None:
        if watched is None:
            self._folders.forget(service)
        else:
            self._folders.watch(watched)

    async def _deploy_version(self, watch: Watch, source: ModelFiles) -> None:
        """A newer version in a folder: what serves goes on until this one answers. Raises ArgosyError."""
        current = find_service(self._services.views(), watch.service)
        model = await self._importer.take(source, watch.described)
        deployment = Deployment(
            service=watch.service,
            models=(model,),
            replicas=current.replicas,
            aggregate=watch.aggregate,
            options=watch.options,
            version=source.version,
            user=watch.user,
        )
        async for _ in self._deploy(deployment, current):
            pass


async def _until_answered(queue: asyncio.Queue[ServiceChange], key: str) -> AsyncIterator[ServiceChange]:
    """What changes until the answer. Raises RunFailed or Conflict when that is no good one."""
    while True:
        change = await queue.get()
        if change.node != key:
            if change.reason:
                yield change
            continue
        if change.state == "superseded":
            raise Conflict(
                f"service {change.service}: {change.reason or 'another deployment came after this one'}",
                hint=f"'argosy service {change.service}' shows what serves",
            )
        if change.state == "failed":
            raise RunFailed(
                f"service {change.service} could not be started: {change.reason}",
                hint=f"the logs of its processes are in logs/services/{change.service} of the home",
            )
        return


def _watch(request: ServeRequest, sources: list[Source]) -> Watch | None:
    first = sources[0]
    if request.watch is False or len(sources) > 1 or not isinstance(first, ModelFiles):
        return None
    if not first.version:
        return None
    return Watch(
        service=request.name,
        folder=str(first.path),
        version=first.version,
        replicas=request.replicas,
        aggregate=request.aggregate,
        options=request.options,
        described=Described(tuple(request.labels), request.preprocessing),
        user=request.user,
    )


def _check(request: ServeRequest) -> None:
    if not request.models:
        raise InvalidRequest("there is no model to serve", hint="name at least one")
    if request.watch and len(request.models) > 1:
        raise InvalidRequest(
            "only a service of one folder of versions can be watched",
            hint="serve the folder by itself, or without --watch",
        )
    placeholder = ModelReference("", ArtifactReference("", "model", 0))
    checked(_deployment(request, [placeholder] * len(request.models), []))


def _deployment(request: ServeRequest, models: list[ModelReference], sources: list[Source]) -> Deployment:
    numbered = [source.version for source in sources if isinstance(source, ModelFiles)]
    return Deployment(
        service=request.name,
        models=tuple(models),
        replicas=request.replicas,
        aggregate=request.aggregate,
        options=request.options,
        version=numbered[0] if len(sources) == 1 and numbered else 0,
        user=request.user,
    )


def _functions(options: ServiceOptions) -> list[tuple[str, FunctionReference]]:
    named = {"sharding.clean": options.sharding.clean, "ensemble.function": options.ensemble.function}
    return [(place, function) for place, function in named.items() if function is not None]


def _ready(name: str, view: ServiceView | None) -> str:
    """What became of the newest revision, which may get all requests, some, or none."""
    newest = max(view.revisions, key=lambda one: one.revision, default=None) if view else None
    if newest is None or newest.percent == 100:
        return f"service {name} answers"
    number = newest.revision
    if newest.percent:
        what = f"gets {newest.percent} % of the requests"
    elif newest.shadow_percent:
        what = f"gets a copy of {newest.shadow_percent} % of the requests, to compare"
    else:
        what = "is ready and gets no requests"
    return f"service {name}: revision {number} {what}; 'argosy promote {name} {number}' gives it all"


def _is_hopeless(view: ServiceView | None) -> bool:
    """Nothing of the service serves or may come to serve: somebody else may have deployed it meanwhile."""
    living = ("starting", "serving", "standby")
    return (
        view is not None and view.state == "failed" and all(one.state not in living for one in view.revisions)
    )


def _is_same(before: ServiceView, after: ServiceView | None) -> bool:
    if after is None or _newest(after) != _newest(before):
        return False
    return after.replicas == before.replicas and traffic_text(after) == traffic_text(before)


def _newest(view: ServiceView | None) -> int:
    """The number of the newest revision; 0 for a service that is not there."""
    if view is None:
        return 0
    return max([view.revision, *(revision.revision for revision in view.revisions)])
