"""A model server is asked what its OpenAPI document allows, and what it does not."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from .calm_model import MODULE
from .harness import asynchronous
from .models import make_model
from .replicas import Replica, replica

pytestmark = pytest.mark.slow


def did_not_fail(context: Any, response: Any, case: Any) -> None:
    """Numbers near the largest overflow in a model, which is said: no other failure is the caller's."""
    if response.status_code >= 500:
        assert response.json()["code"] == "not_finite", response.text


CHECKS = [
    did_not_fail,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
FEW, MANY = 2, 25
HEADER_LENGTH = "Inference-Header-Content-Length"


def play(operation: Any, mode: GenerationMode, base_url: str) -> Counter[int]:
    """Requests of one operation that are described, or that are not; how many had which answer."""
    statuses: Counter[int] = Counter()

    @settings(
        max_examples=MANY if operation.body else FEW,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        if mode is GenerationMode.POSITIVE:
            make_likely(case)
        response = case.call_and_validate(base_url=base_url, checks=CHECKS, timeout=20)
        statuses[response.status_code] += 1

    # Of a request that is a path and nothing else, none is wrong.
    with suppress(Unsatisfiable if mode is GenerationMode.NEGATIVE else ()):
        ask()
    return statuses


def make_likely(case: Any) -> None:
    """What no schema can say: where JSON ends that is the whole body, and that 2.0 is not written for 2."""
    if case.media_type == "application/json":
        case.headers.pop(HEADER_LENGTH, None)
        case.body = as_whole(case.body)


def as_whole(value: Any) -> Any:
    if isinstance(value, list):
        return [as_whole(one) for one in value]
    if isinstance(value, dict):
        return {key: as_whole(one) for key, one in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value


async def document_of(served: Replica) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((await served.ask("GET", "/openapi.json")).body)
    return document


SERVERS = pytest.mark.parametrize(
    "module", [MODULE, "argosy.serve.model_server.replica"], ids=["tensors", "images"]
)


@SERVERS
@asynchronous
async def test_every_answer_of_a_replica_is_as_described_and_none_is_a_failure(
    tmp_path: Path, module: str
) -> None:
    directory = make_model(tmp_path / "model", side=3)
    async with replica(directory, tmp_path, module=module, version=7) as served:
        schema = schemathesis.openapi.from_dict(await document_of(served))
        schema.validate()
        operations = [one.ok() for one in schema.get_all_operations()]
        assert len(operations) == 20
        url = f"http://127.0.0.1:{served.port}"
        for operation in operations:
            for mode in GenerationMode:
                statuses = await asyncio.to_thread(play, operation, mode, url)
                if mode is GenerationMode.POSITIVE and not operation.body:
                    assert set(statuses) == {200}, operation.label
        assert (await served.ask("GET", "/readyz")).status == 200
        assert "Traceback" not in served.log.read_text()


@SERVERS
@asynchronous
async def test_every_example_in_the_document_is_answered(tmp_path: Path, module: str) -> None:
    directory = make_model(tmp_path / "model")
    async with replica(directory, tmp_path, module=module, version=7) as served:
        document = await document_of(served)
        examples = [
            (path.replace("{model}", "digits").replace("{version}", "7"), example["value"])
            for path, methods in document["paths"].items()
            if "post" in methods
            for example in methods["post"]["requestBody"]["content"]["application/json"]["examples"].values()
        ]
        assert len(examples) == (12 if module == MODULE else 4)
        for path, body in examples:
            response = await served.ask("POST", path, json.dumps(body).encode())
            assert response.status == 200, (path, body, response.body)
