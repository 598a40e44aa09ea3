"""What the serve room is asked for, and what it says: deployments, changes and views."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from argosy.artifacts.reference import ArtifactReference
from argosy.errors import InvalidRequest
from argosy.flow.service_options import Release, ServiceOptions
from argosy.flow.service_rules import Fault, faults

_SERVICE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


class ModelReference(msgspec.Struct, frozen=True):
    """A stored model and the name it has as a member of a service."""

    name: str
    reference: ArtifactReference


class Deployment(msgspec.Struct, frozen=True):
    """Make ``models`` the service. ``replicas`` is (at least, at most) for each model.

    ``version`` is the number callers may name in ``/versions/N``; 0 stands for the revision's own number.
    ``run``, ``node`` and ``generation`` say who asked; they come back in the answer and make no difference
    between two deployments. ``user`` is who is recorded as its author.
    """

    service: str
    models: tuple[ModelReference, ...]
    replicas: tuple[int, int] = (1, 1)
    aggregate: str = "mean"
    run: str = ""
    node: str = ""
    generation: int = 0
    options: ServiceOptions = ServiceOptions()
    version: int = 0
    user: str = ""

    def settings(self) -> tuple[Any, ...]:
        """Equal for deployments that need no other processes: how many there are, and what share of the
        requests they get, can change as they run."""
        options = msgspec.structs.replace(self.options, release=Release())
        return (self.service, self.models, self.aggregate, options, self.version)

    def asker(self) -> Asker:
        return Asker(self.run, self.node, self.generation)


class Asker(msgspec.Struct, frozen=True):
    """Who waits for a deployment's answer."""

    run: str
    node: str
    generation: int


def checked(deployment: Deployment) -> Deployment:
    """The deployment with model names that are unique and safe in a URL. Raises InvalidRequest.

    A service's name never holds a dot, so ``SERVICE.MEMBER`` names one member and nothing else.
    """
    if not _SERVICE.fullmatch(deployment.service):
        raise InvalidRequest(
            f"service {deployment.service!r} is not a name, expected small letters, digits and dashes",
            hint="name it like 'fashion-mnist', at most 63 characters",
        )
    if not deployment.models:
        raise InvalidRequest(
            f"service {deployment.service!r} has no models to serve",
            hint="the list of models is empty: perhaps no candidate reached the threshold",
        )
    wrong = faults(deployment.options, deployment.replicas, deployment.aggregate, len(deployment.models))
    if wrong:
        raise _impossible(deployment.service, wrong)
    return msgspec.structs.replace(deployment, models=_with_unique_names(deployment.models))


def _impossible(service: str, wrong: Sequence[Fault]) -> InvalidRequest:
    problems = [
        {"message": f"service {service!r}, {fault.place}: {fault.message}", "hint": fault.hint}
        for fault in wrong
    ]
    return InvalidRequest(
        "\n".join(problem["message"] for problem in problems),
        hint=problems[0]["hint"],
        context={"problems": problems},
    )


def _with_unique_names(models: tuple[ModelReference, ...]) -> tuple[ModelReference, ...]:
    taken: set[str] = set()
    renamed = []
    for model in models:
        base = _UNSAFE.sub("-", model.name).strip("-") or "model"
        name, number = base, 2
        while name in taken:
            name, number = f"{base}-{number}", number + 1
        taken.add(name)
        renamed.append(ModelReference(name, model.reference))
    return tuple(renamed)


@dataclass(frozen=True, slots=True)
class ServiceChange:
    """A service's state: said when it changes (``run`` is empty), and to whoever deployed it.

    ``state``: starting · ready · degraded · failed · stopped, and as an answer ready · failed · superseded.
    ``endpoint`` is {"name", "url"}.
    """

    service: str
    revision: int
    state: str
    reason: str = ""
    endpoint: dict[str, str] = field(default_factory=dict)
    run: str = ""
    node: str = ""
    generation: int = 0
