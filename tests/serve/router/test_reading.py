"""How long a caller is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from argosy.flow.service_options import Sharding
from argosy.serve.http.server import Request
from argosy.serve.router import reading
from argosy.serve.router.failures import CallerTooSlow
from argosy.serve.router.parts import Part

from ..harness import asynchronous  # noqa: TID252


class Dripping:
    """A caller that sends a byte whenever the last has been looked at, and then nothing."""

    def __init__(self, sent: bytes) -> None:
        self.sent = sent

    def header(self, name: bytes) -> bytes | None:
        return None

    async def chunks(self) -> AsyncIterator[bytes]:
        for byte in self.sent:
            yield bytes((byte,))
        await asyncio.Event().wait()


async def read(request: Any, hold: reading.Hold) -> list[Part]:
    reader = reading.Reader(cast(Request, request), Sharding(rows=1), hold, merges=False)
    return [part async for part in reader.parts()]


@asynchronous
async def test_a_caller_that_stops_in_mid_request_loses_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PATIENCE_SECONDS", 0.05)
    hold = reading.Hold()
    with pytest.raises(CallerTooSlow) as caught:
        await read(Dripping(b'{"instances": [1, 2, '), hold)
    assert "the request stopped at byte 21" in caught.value.message
    assert hold.bytes == 0


def test_patience_grows_with_what_has_come() -> None:
    assert reading.patience(0) == reading.PATIENCE_SECONDS
    assert reading.patience(2**30) > 2**15
