"""``argosy predict``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from argosy.api.views import ServiceView
from argosy.cli.output import document, show
from argosy.client.client import ControlClient
from argosy.client.predictions import PredictionClient
from argosy.errors import Conflict, InvalidInput, NotFound, TooLarge
from argosy.home import Home

BATCH_FILES = 64
BATCH_BYTES = 8 * 2**20
LARGEST_FILE_BYTES = 24 * 2**20
_SHOWN = 3


def predict(service: str, files: Sequence[Path], as_json: bool, token_file: Path | None = None) -> None:
    """Every file is looked at before any is sent, so that a mistake costs nothing."""
    batches = _batches(files, [_size(file) for file in files])
    url = _address(service, ControlClient(Home.from_environment()).services())
    client = PredictionClient(url, token=_token(token_file))
    try:
        labels = client.labels()
        answers = [answer for batch in batches for answer in _ask(client, batch)]
    finally:
        client.close()
    if as_json:
        predictions = [_as_json(file, one, labels) for file, one in zip(files, answers, strict=True)]
        document({"service": service, "predictions": predictions})
        return
    for file, one in zip(files, answers, strict=True):
        show(f"{file}: {_as_text(one, labels)}")


def _token(file: Path | None) -> str:
    """What ``argosy token create`` printed, from a file: arguments of commands are seen by everybody."""
    if file is None:
        return ""
    from argosy.cli.service_arguments import read_text

    token = read_text(file).strip()
    if not token or not token.isascii() or any(sign.isspace() for sign in token):
        raise InvalidInput(f"{file} holds no token", hint="write into it what 'argosy token create' printed")
    return token


def _size(file: Path) -> int:
    if not file.exists():
        raise NotFound(f"there is no file {file}", hint="name image files, such as boot.png")
    if not file.is_file():
        raise InvalidInput(f"{file} is not a file", hint="name image files, such as boot.png")
    size = file.stat().st_size
    if size > LARGEST_FILE_BYTES:
        raise TooLarge(
            f"{file} has {size / 2**20:.0f} MiB, and an image may have {LARGEST_FILE_BYTES // 2**20}",
            hint="make the image smaller",
        )
    return size


def _batches(files: Sequence[Path], sizes: Sequence[int]) -> list[list[Path]]:
    """Files in order, in batches of at most 64 and, of more than one, at most 8 MiB."""
    batches: list[list[Path]] = []
    used = BATCH_BYTES + 1
    for file, size in zip(files, sizes, strict=True):
        if used + size > BATCH_BYTES or len(batches[-1]) == BATCH_FILES:
            batches.append([])
            used = 0
        batches[-1].append(file)
        used += size
    return batches


def _ask(client: PredictionClient, batch: Sequence[Path]) -> Iterator[Any]:
    images = [_read(file) for file in batch]
    yield from client.predict(images, lambda i: str(batch[i]) if i < len(batch) else f"instances[{i}]")


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InvalidInput(
            f"{file} can not be read: {error.strerror}", hint="look at its permissions"
        ) from error


def _address(name: str, services: Sequence[ServiceView]) -> str:
    """Of a service, or of one model of a service."""
    for service in services:
        if service.name == name:
            if not service.url:
                raise Conflict(
                    f"service {name!r} is {service.state} and has no address yet",
                    hint="'argosy services' says when it is ready",
                )
            return service.url
    members = {member.name: member.url for service in services for member in service.members}
    if members.get(name):
        return members[name]
    names = [service.name for service in services]
    raise NotFound(
        f"there is no service {name!r}",
        hint=f"there is {', '.join(names)}" if names else "a workflow makes one with argosy.serve(...)",
    )


def _as_json(file: Path, prediction: Any, labels: Sequence[str]) -> dict[str, Any]:
    best = _best(prediction, labels)
    top = {"label": best[0][0], "probability": best[0][1]} if best else {}
    return {"file": str(file), **top, "prediction": prediction}


def _as_text(prediction: Any, labels: Sequence[str]) -> str:
    best = _best(prediction, labels)[:_SHOWN]
    return ", ".join(f"{label} {value:.1%}" for label, value in best) or str(prediction)


def _best(prediction: Any, labels: Sequence[str]) -> list[tuple[str, float]]:
    """Labels with their probabilities, the most probable first; nothing for what is no list of numbers."""
    if not isinstance(prediction, list) or not all(isinstance(value, int | float) for value in prediction):
        return []
    named = [
        (labels[place] if place < len(labels) else f"class {place}", float(value))
        for place, value in enumerate(prediction)
    ]
    return sorted(named, key=lambda pair: -pair[1])
