"""How many requests callers wait for, and waiting until there are none."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

import msgspec

from argosy.serve.gateway.envoy.names import PUBLIC
from argosy.serve.http.client import Client, RequestFailed

_STATISTIC = f"http.{PUBLIC}.downstream_rq_active"
_PAUSE_SECONDS = 0.02


class _Statistic(msgspec.Struct):
    name: str = ""
    value: int = 0


class _Statistics(msgspec.Struct):
    stats: list[_Statistic]


async def await_quiet(admin_socket: str, seconds: float) -> bool:
    """Whether every request of a caller is answered, within ``seconds``; a gateway that is gone has none."""
    client = Client(admin_socket)
    path = f"/stats?format=json&filter={quote(f'^{_STATISTIC}$')}"
    try:
        async with asyncio.timeout(seconds):
            while True:
                response = await client.request("GET", path, timeout_seconds=seconds)
                found = msgspec.json.decode(response.body, type=_Statistics).stats
                if not any(one.value for one in found if one.name == _STATISTIC):
                    return True
                await asyncio.sleep(_PAUSE_SECONDS)
    except TimeoutError:
        return False
    except (RequestFailed, msgspec.MsgspecError):
        return True
    finally:
        client.close()
