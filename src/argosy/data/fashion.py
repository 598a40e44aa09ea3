"""Fashion-MNIST: 60,000 + 10,000 grey images of 28 x 28 pixels in ten classes.

Source: H. Xiao, K. Rasul, R. Vollgraf, *Fashion-MNIST* (2017), https://github.com/zalandoresearch/fashion-mnist.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from argosy import reporting
from argosy.errors import InvalidInput, InvalidRequest, Unavailable

if TYPE_CHECKING:
    from argosy.data.manifest import Column
    from argosy.data.writer import Rows

NAME = "fashion_mnist"
FOLDER_VARIABLE = "ARGOSY_DATA"
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip

# sha256 of the uncompressed content.
FILES = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
MIRRORS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion",
)
_PUBLISHED = "published"
_HINT = (
    "install the Debian package dataset-fashion-mnist, or name a folder that holds the four files: "
    f"--dataset FOLDER, or {FOLDER_VARIABLE}=FOLDER"
)


def locate_fashion_mnist(dataset: str = NAME, environment: Mapping[str, str] = os.environ) -> str:
    """Where the data is and what it holds: ``FOLDER#sha256=DIGEST``, for :func:`fashion_mnist`.

    ``dataset`` is a folder, or ``fashion_mnist`` for the first of: the folder named by ``ARGOSY_DATA``, the
    Debian package, the publishers (``published#...``, fetched only when it is opened). Called while a
    workflow is traced, it makes the content of the data, not only its name, part of what a step is
    memoized by.

    Raises InvalidInput when a folder that was named does not hold the four files.
    """
    if "#sha256=" in dataset:
        return dataset
    if dataset != NAME:
        return _located(Path(dataset).expanduser())
    if named := environment.get(FOLDER_VARIABLE):
        base = Path(named).expanduser()
        return _located(base / "fashion-mnist" if (base / "fashion-mnist").is_dir() else base)
    if all(_find(DEBIAN_FOLDER, name) for name in FILES):
        return _located(DEBIAN_FOLDER)
    return f"{_PUBLISHED}#sha256={_digest(FILES.values())}"


def fashion_mnist(source: str = NAME, *, validation: int = 5_000, seed: int = 0) -> FashionMnist:
    """Open Fashion-MNIST for :func:`argosy.data.write_dataset`; download it if it is nowhere on this machine.

    ``validation`` of the training rows, chosen by ``seed``, become the validation split. Raises InvalidInput
    for a wrong folder or file, Unavailable when a download was needed and failed.
    """
    location = locate_fashion_mnist(source)
    folder, _, digest = location.partition("#sha256=")
    if folder == _PUBLISHED:
        return FashionMnist(_fetch(), MIRRORS[0], digest, validation, seed)
    found = _located(Path(folder)).partition("#sha256=")[2]
    if found != digest:
        raise InvalidInput(
            f"{folder} has changed since the workflow was started: "
            f"sha256 {found[:12]}..., was {digest[:12]}...",
            hint="run the workflow again",
            context={"folder": folder, "found": found, "expected": digest},
        )
    return FashionMnist(Path(folder), folder, digest, validation, seed)


class FashionMnist:
    """The examples of a folder, as a source of a dataset: ``images`` uint8[28, 28], ``labels`` uint8."""

    name = NAME
    classes = CLASSES

    def __init__(self, folder: Path, location: str, fingerprint: str, validation: int, seed: int):
        self.folder = folder
        self.location = location
        self.fingerprint = fingerprint
        self.validation = validation
        self.seed = seed

    @property
    def columns(self) -> Mapping[str, Column]:
        from argosy.data.manifest import Column

        return {"images": Column("uint8", (28, 28)), "labels": Column("uint8", ())}

    def blocks(self) -> Iterator[tuple[str, Rows]]:
        """Every example once: ``train`` and ``validation`` share the 60,000, ``test`` is the 10,000."""
        from argosy.data.permutation import Permutation

        start = 0
        for rows, total in self._read("train"):
            if start == 0:
                self._check_validation(total)
                order = Permutation(total, (self.seed, "validation"))
            count = len(rows["labels"])
            chosen = order(range(start, start + count)) < self.validation
            yield "train", {name: values[~chosen] for name, values in rows.items()}
            yield "validation", {name: values[chosen] for name, values in rows.items()}
            start += count
        for rows, _ in self._read("t10k"):
            yield "test", rows

    def _read(self, part: str) -> Iterator[tuple[Rows, int]]:
        from argosy.data.idx import IdxFile, read_pairs

        with (
            IdxFile(self._path(f"{part}-images-idx3-ubyte"), dimensions=3) as images,
            IdxFile(self._path(f"{part}-labels-idx1-ubyte"), dimensions=1) as labels,
        ):
            if images.shape[1:] != (28, 28):
                raise InvalidInput(
                    f"{images.path} holds images of {images.shape[1]} x {images.shape[2]}; expected 28 x 28",
                    hint=_HINT,
                    context={"file": str(images.path), "found": images.shape, "expected": [28, 28]},
                )
            for image_block, label_block in read_pairs(images, labels, classes=len(CLASSES)):
                yield {"images": image_block, "labels": label_block}, images.rows

    def _path(self, name: str) -> Path:
        return _find(self.folder, name) or self.folder / f"{name}.gz"

    def _check_validation(self, total: int) -> None:
        if not 0 < self.validation < total:
            raise InvalidRequest(
                f"{self.validation} rows for validation of {total}; expected 1 to {total - 1}",
                hint="leave rows for training and for validation",
            )


def _find(folder: Path, name: str) -> Path | None:
    for path in (folder / f"{name}.gz", folder / name):
        if path.is_file():
            return path
    return None


def _located(folder: Path) -> str:
    # Two ways to write one folder are one source.
    folder = folder.resolve()
    missing = [name for name in FILES if not _find(folder, name)]
    if missing:
        state = (
            f"lacks {', '.join(f'{name}.gz' for name in missing)}" if folder.is_dir() else "is not a folder"
        )
        raise InvalidInput(
            f"{folder} {state}; expected a folder with the four Fashion-MNIST files",
            hint=_HINT,
            context={"folder": str(folder), "missing": missing},
        )
    return f"{folder}#sha256={_digest(_file_digest(_find(folder, name)) for name in FILES)}"


def _file_digest(path: Path | None) -> str:
    assert path is not None
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise InvalidInput(f"{path} can not be read: {error.strerror}", hint=_HINT) from None


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def _fetch() -> Path:
    from argosy.data.download import download

    folder = reporting.current().directory / "fashion-mnist-download"
    for name, content in FILES.items():
        target = folder / f"{name}.gz"
        if target.exists():
            continue
        try:
            download([f"{mirror}/{name}.gz" for mirror in MIRRORS], target, content_sha256=content)
        except Unavailable as error:
            raise Unavailable(
                f"Fashion-MNIST is not on this machine, and {error.message}",
                hint=_HINT,
                context=error.context,
            ) from None
    return folder
