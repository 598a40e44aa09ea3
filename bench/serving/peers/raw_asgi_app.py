"""A bare ASGI application in two uvicorn processes: what queued while a batch ran is the next batch."""

# mypy: ignore-errors
# Only the environment of this peer has its packages.

import asyncio
import gc

import numpy as np
import orjson
from decoding import MAX_BATCH, decode, load, predict

session = load()
waiting: list = []
running, worker = False, None
JSON = [(b"content-type", b"application/json")]

gc.collect()
gc.freeze()
gc.disable()


def answer(batch: list) -> list[bytes]:
    requests = [[decode(instance) for instance in orjson.loads(body)["instances"]] for body, _ in batch]
    rows = predict(session, np.stack([image for images in requests for image in images]))
    answers, start = [], 0
    for images in requests:
        part = rows[start : start + len(images)]
        start += len(images)
        answers.append(orjson.dumps({"predictions": part}, option=orjson.OPT_SERIALIZE_NUMPY))
    return answers


async def work() -> None:
    global running
    loop = asyncio.get_running_loop()
    while waiting:
        batch = waiting[:MAX_BATCH]
        del waiting[:MAX_BATCH]
        for (_, future), body in zip(batch, await loop.run_in_executor(None, answer, batch), strict=True):
            future.set_result(body)
    running = False


async def app(scope, receive, send) -> None:
    global running, worker
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    future = asyncio.get_running_loop().create_future()
    waiting.append((body, future))
    if not running:
        running = True
        worker = asyncio.ensure_future(work())
    result = await future
    length = (b"content-length", str(len(result)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [*JSON, length]})
    await send({"type": "http.response.body", "body": result})
