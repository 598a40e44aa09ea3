"""Fashion-MNIST: where it is found, what is refused, how it is split."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from argosy import data, reporting
from argosy.data import fashion
from argosy.data.download import download
from argosy.errors import InvalidInput, InvalidRequest, Unavailable

from .conftest import idx, images_of

Folder = Callable[..., Path]


@pytest.fixture(autouse=True)
def no_folder_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(fashion.FOLDER_VARIABLE, raising=False)


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A machine without the package, whose publishers refuse connections."""
    monkeypatch.setattr(fashion, "DEBIAN_FOLDER", tmp_path / "no-package")
    monkeypatch.setattr(fashion, "MIRRORS", ("http://127.0.0.1:9",))
    reporting.install(reporting.CurrentAttempt(directory=tmp_path / "scratch"))
    yield tmp_path
    reporting.install(None)


def test_a_given_folder_is_used_and_its_content_is_part_of_the_location(fashion_folder: Folder) -> None:
    folder = fashion_folder()
    located = data.locate_fashion_mnist(str(folder))
    assert located.startswith(f"{folder}#sha256=")
    assert data.locate_fashion_mnist(str(folder)) == located
    assert data.locate_fashion_mnist(located) == located
    assert data.locate_fashion_mnist(str(fashion_folder(rows=41))) != located


def test_a_folder_is_one_source_however_it_is_written(fashion_folder: Folder, tmp_path: Path) -> None:
    folder = fashion_folder()
    (tmp_path / "link").symlink_to(folder)
    written = [folder / ".." / folder.name, tmp_path / "link"]
    located = data.locate_fashion_mnist(str(folder))
    assert {data.locate_fashion_mnist(str(one)) for one in written} == {located}


def test_the_environment_names_a_folder_or_its_parent(fashion_folder: Folder) -> None:
    folder = fashion_folder()
    named = data.locate_fashion_mnist("fashion_mnist", {fashion.FOLDER_VARIABLE: str(folder)})
    assert named == data.locate_fashion_mnist(str(folder))
    moved = folder.rename(folder.with_name("fashion-mnist"))
    parent = data.locate_fashion_mnist("fashion_mnist", {fashion.FOLDER_VARIABLE: str(moved.parent)})
    assert parent.startswith(f"{moved}#")


def test_the_package_comes_before_the_publishers(
    fashion_folder: Folder, nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert data.locate_fashion_mnist().startswith("published#sha256=")
    monkeypatch.setattr(fashion, "DEBIAN_FOLDER", fashion_folder())
    assert data.locate_fashion_mnist().startswith(f"{fashion.DEBIAN_FOLDER}#")


def test_a_folder_without_the_files_is_refused_with_the_missing_ones(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"lacks train-images-idx3-ubyte\.gz") as caught:
        data.locate_fashion_mnist(str(tmp_path))
    assert "--dataset FOLDER" in caught.value.hint
    with pytest.raises(InvalidInput, match="is not a folder"):
        data.locate_fashion_mnist(str(tmp_path / "nothing"))


def test_data_that_changed_since_it_was_located_is_refused(fashion_folder: Folder) -> None:
    located = data.locate_fashion_mnist(str(fashion_folder()))
    fashion_folder(rows=41)
    with pytest.raises(InvalidInput, match="has changed since the workflow was started"):
        data.fashion_mnist(located)


def test_no_data_and_no_network_is_one_clear_error(nowhere: Path) -> None:
    with pytest.raises(Unavailable, match="not on this machine") as caught:
        data.fashion_mnist()
    assert "127.0.0.1:9" in caught.value.message
    assert "dataset-fashion-mnist" in caught.value.hint


@pytest.fixture
def publisher() -> Iterator[tuple[str, dict[str, bytes]]]:
    """An HTTP server on a free port, and what it serves by path."""
    served: dict[str, bytes] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = served.get(self.path)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, format: str, *arguments: object) -> None:
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", served
        server.shutdown()
        thread.join()


def test_a_download_is_taken_from_the_first_mirror_that_has_the_right_content(
    publisher: tuple[str, dict[str, bytes]], tmp_path: Path
) -> None:
    address, served = publisher
    content = b"content" * 1000
    served |= {
        "/wrong": gzip.compress(b"other"),
        "/cut": gzip.compress(content)[:-4],
        "/right": gzip.compress(content),
    }
    urls = [f"{address}/{name}" for name in ("missing", "wrong", "cut", "right")]
    target = tmp_path / "folder" / "file.gz"
    digest = hashlib.sha256(content).hexdigest()
    download(urls, target, content_sha256=digest)
    assert gzip.decompress(target.read_bytes()) == content
    target.unlink()
    with pytest.raises(Unavailable) as caught:
        download(urls[:-1], target, content_sha256=digest)
    for reason in ("404", "expected", "end-of-stream"):
        assert reason in caught.value.message
    assert list(target.parent.iterdir()) == []


def test_every_example_of_the_training_file_is_in_training_or_validation(fashion_folder: Folder) -> None:
    images = images_of(40)
    source = data.fashion_mnist(str(fashion_folder()), validation=7, seed=3)
    found: dict[str, list[np.ndarray]] = {}
    for split, rows in source.blocks():
        found.setdefault(split, []).append(rows["images"].copy())
    splits = {split: np.concatenate(parts) for split, parts in found.items()}
    assert {split: len(rows) for split, rows in splits.items()} == {
        "train": 33,
        "validation": 7,
        "test": 10,
    }
    both = np.concatenate([splits["train"], splits["validation"]]).reshape(40, -1)
    assert sorted(map(bytes, both)) == sorted(map(bytes, images.reshape(40, -1)))
    assert np.array_equal(splits["test"], images_of(10, 1))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(seed=st.integers(0, 2**64), validation=st.integers(1, 39))
def test_training_and_validation_partition_the_rows_for_any_seed(
    fashion_folder: Folder, seed: int, validation: int
) -> None:
    folder = fashion_folder()
    numbered = np.zeros((40, 28, 28), np.uint8)
    numbered[:, 0, 0] = np.arange(40)
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(numbered), 1))
    source = data.fashion_mnist(str(folder), validation=validation, seed=seed)
    rows: dict[str, list[int]] = {"train": [], "validation": [], "test": []}
    for split, columns in source.blocks():
        rows[split] += columns["images"][:, 0, 0].tolist()
    assert len(rows["validation"]) == validation
    assert sorted(rows["train"] + rows["validation"]) == list(range(40))


@pytest.mark.parametrize("validation", [0, 40, 50])
def test_a_validation_split_that_leaves_nothing_is_refused(fashion_folder: Folder, validation: int) -> None:
    source = data.fashion_mnist(str(fashion_folder()), validation=validation)
    with pytest.raises(InvalidRequest, match="expected 1 to 39"):
        list(source.blocks())


def test_images_of_another_size_are_refused(fashion_folder: Folder) -> None:
    small = gzip.compress(idx(np.zeros((40, 14, 14), np.uint8)))
    source = data.fashion_mnist(str(fashion_folder(train_images_idx3_ubyte=small)), validation=5)
    with pytest.raises(InvalidInput, match="images of 14 x 14; expected 28 x 28"):
        list(source.blocks())


def test_ingesting_a_damaged_file_leaves_no_dataset(fashion_folder: Folder, tmp_path: Path) -> None:
    cut = gzip.compress(idx(images_of(10, 1)))[:-9]
    folder = fashion_folder(t10k_images_idx3_ubyte=cut)
    with pytest.raises(InvalidInput, match="t10k-images"):
        data.write_dataset(data.fashion_mnist(str(folder), validation=5), tmp_path / "dataset")
    assert not (tmp_path / "dataset" / "manifest.json").exists()


@pytest.mark.skipif(not fashion.DEBIAN_FOLDER.is_dir(), reason="the Debian package is not installed")
def test_the_real_files_are_the_published_ones() -> None:
    for name, expected in fashion.FILES.items():
        with gzip.open(fashion.DEBIAN_FOLDER / f"{name}.gz") as content:
            assert hashlib.file_digest(content, "sha256").hexdigest() == expected
