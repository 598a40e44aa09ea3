"""A process that deploys two revisions, and moves the requests from one to the other until it is killed:
ROOT PORT DEPLOYMENT."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec

from argosy.serve.deployment import Deployment

from .harness import until
from .planes import plane


async def _release(root: Path, port: int, deployment: Deployment) -> None:
    async with plane(root, port, last=False) as made:
        made.manager.deploy(deployment)
        await made.answer()
        second = msgspec.structs.replace(deployment, models=deployment.models[:1], run="second")
        made.manager.deploy(second)
        await until(lambda: any(one.run == "second" for one in made.changes), "the second answer")
        for _ in range(100):
            made.manager.rollback("digits")
            made.manager.scale("digits", 1, 2)
            await asyncio.sleep(0)
        sys.stdout.write("not killed")


if __name__ == "__main__":
    wanted = msgspec.json.decode(Path(sys.argv[3]).read_bytes(), type=Deployment)
    asyncio.run(_release(Path(sys.argv[1]), int(sys.argv[2]), wanted))
