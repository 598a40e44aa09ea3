"""What a path asks of the router, in KServe V1 and Open Inference V2."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from argosy.errors import NotFound


class Verb(enum.Enum):
    PREDICT = "predict"
    STATUS = "status"
    METADATA = "metadata"
    INFER = "infer"
    READY = "ready"
    METADATA_V2 = "metadata of V2"


@dataclass(frozen=True, slots=True)
class Address:
    verb: Verb
    method: str


_V1 = {
    ":predict": Address(Verb.PREDICT, "POST"),
    "": Address(Verb.STATUS, "GET"),
    "/metadata": Address(Verb.METADATA, "GET"),
}
_V2 = {
    "/infer": Address(Verb.INFER, "POST"),
    "": Address(Verb.METADATA_V2, "GET"),
    "/ready": Address(Verb.READY, "GET"),
}
_PATH = re.compile(
    r"/(?P<protocol>v[12])/models/(?P<name>[^/:]+)(?:/versions/(?P<version>[^/:]+))?(?P<rest>(?:[:/].*)?)"
)


def parse(path: str, service: str, version: int) -> Address:
    """Raises NotFound that names what exists."""
    match = _PATH.fullmatch(path)
    if match is None:
        raise NotFound(
            f"nothing answers {path}",
            hint=f"ask POST /v1/models/{service}:predict, or POST /v2/models/{service}/infer",
        )
    if match["name"] != service:
        raise NotFound(f"model {match['name']!r} does not exist", hint=f"models here: {service}")
    if match["version"] not in (None, str(version)):
        raise NotFound(
            f"model {service!r} has no version {match['version']!r}", hint=f"the version here: {version}"
        )
    table = _V1 if match["protocol"] == "v1" else _V2
    address = table.get(match["rest"])
    if address is None:
        known = ", ".join(filter(None, table))
        raise NotFound(f"model {service!r} has no {match['rest']!r}", hint=f"use {known} or nothing")
    return address
