"""What the router says of itself: status, readiness and metadata, in KServe V1 and Open Inference V2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from argosy.serve.http.failures import MemberFailed
from argosy.serve.http.server import JSON, Answer
from argosy.serve.router.addresses import Verb
from argosy.serve.router.members import Members
from argosy.serve.router.quorum import Failure, Outcome, settle, why
from argosy.serve.specs import RouterSpec


class Describer:
    """Asks the members each time: they may come and go."""

    def __init__(self, spec: RouterSpec, members: Members) -> None:
        self._spec = spec
        self._members = members

    async def answer(self, verb: Verb) -> Answer:
        if verb is Verb.STATUS:
            return await self._status()
        if verb is Verb.READY:
            return await self._ready()
        return await (self._metadata() if verb is Verb.METADATA else self._metadata_v2())

    async def _status(self) -> Answer:
        outcomes = await self._members.get(lambda name: f"/v1/models/{name}")
        ready = {name: _is_ready(name, outcome) for name, outcome in outcomes.items()}
        status = {"error_code": "OK", "error_message": ""}
        enough = self._enough(ready)
        state = "AVAILABLE" if enough else "LOADING"
        version = {"version": str(self._spec.version), "state": state, "status": status}
        body = {
            "name": self._spec.service,
            "ready": enough,
            "members": [{"name": name, "ready": one} for name, one in ready.items()],
            "model_version_status": [version],
        }
        return Answer(200, orjson.dumps(body))

    async def _ready(self) -> Answer:
        outcomes = await self._members.get(lambda name: f"/v2/models/{name}/ready")
        ready = {
            name: not isinstance(outcome, Failure) and outcome.status == 200
            for name, outcome in outcomes.items()
        }
        enough = self._enough(ready)
        body: dict[str, Any] = {"name": self._spec.service, "ready": enough}
        if not enough:
            away = {name: why(outcome) for name, outcome in outcomes.items() if not ready[name]}
            body["error"] = "; ".join(f"member {name!r}: {reason}" for name, reason in away.items())
        return Answer(200 if enough else 503, orjson.dumps(body))

    def _enough(self, ready: Mapping[str, bool]) -> bool:
        needed = min(self._spec.ensemble.quorum, len(ready)) or len(ready)
        return sum(ready.values()) >= needed

    async def _metadata(self) -> Answer:
        outcomes = await self._members.get(lambda name: f"/v1/models/{name}/metadata")
        version = str(self._spec.version)
        specification = {"name": self._spec.service, "signature_name": "", "version": version}
        own = {"name": self._spec.service, "versions": [version], "model_spec": specification}
        return self._of_members(outcomes, own)

    async def _metadata_v2(self) -> Answer:
        outcomes = await self._members.get(lambda name: f"/v2/models/{name}")
        versions = [str(self._spec.version)]
        return self._of_members(
            outcomes, {"name": self._spec.service, "versions": versions, "platform": "argosy_router"}
        )

    def _of_members(self, outcomes: Mapping[str, Outcome], own: Mapping[str, Any]) -> Answer:
        settled = settle(outcomes, self._spec.ensemble.quorum)
        first = _document(*next(iter((name, one.body) for name, one in settled.answered.items())))
        spec = self._spec
        many: dict[str, Any] = {"members": list(spec.members), "answered": list(settled.answered)}
        if len(spec.members) > 1:
            many |= {"aggregate": spec.aggregate, "quorum": spec.ensemble.quorum or len(spec.members)}
        if settled.missing:
            many["missing"] = dict(settled.missing)
        if spec.sharding is not None:
            many["sharding"] = {"rows": spec.sharding.rows, "tile": spec.sharding.tile}
        return Answer(200, orjson.dumps({**first, **own, **many}), (*JSON, *settled.headers()))


def _is_ready(name: str, outcome: Outcome) -> bool:
    if isinstance(outcome, Failure) or outcome.status != 200:
        return False
    return bool(_document(name, outcome.body).get("ready"))


def _document(member: str, body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except ValueError as error:
        raise MemberFailed(member, f"its answer is not JSON ({error})") from None
    if not isinstance(document, dict):
        raise MemberFailed(member, "its answer is no JSON object")
    return document
