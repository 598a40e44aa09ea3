"""A process that deploys and waits for the answer: ROOT PORT DEPLOYMENT."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec

from argosy.serve.deployment import Deployment

from .planes import plane


async def _deploy(root: Path, port: int, deployment: Deployment) -> None:
    async with plane(root, port, last=False) as made:
        made.manager.deploy(deployment)
        sys.stdout.write(str(await made.answer()))


if __name__ == "__main__":
    wanted = msgspec.json.decode(Path(sys.argv[3]).read_bytes(), type=Deployment)
    asyncio.run(_deploy(Path(sys.argv[1]), int(sys.argv[2]), wanted))
