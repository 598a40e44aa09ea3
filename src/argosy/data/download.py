"""Fetching a published file: checksummed, to a temporary name, renamed when it is right."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import shutil
import urllib.error
import urllib.request
import zlib
from collections.abc import Sequence
from pathlib import Path

from argosy.errors import Unavailable

TIMEOUT_SECONDS = 8.0


def download(
    urls: Sequence[str], target: Path, *, content_sha256: str, timeout: float = TIMEOUT_SECONDS
) -> None:
    """Fetch the first of ``urls`` that answers with a gzip file of the given content.

    ``content_sha256`` is of the uncompressed bytes: mirrors compress anew. ``timeout`` is how long a
    connection may be silent. Raises Unavailable that says what came of every address.
    """
    failures = []
    partial = target.with_name(target.name + ".partial")
    target.parent.mkdir(parents=True, exist_ok=True)
    for url in urls:
        try:
            request = urllib.request.Request(url, headers={"User-Agent": "argosy"})
            with urllib.request.urlopen(request, timeout=timeout) as answer, partial.open("wb") as stream:
                shutil.copyfileobj(answer, stream, 1 << 20)
            with gzip.open(partial) as content:
                found = hashlib.file_digest(content, "sha256").hexdigest()
            if found == content_sha256:
                partial.rename(target)
                return
            failures.append(f"{url}: content has sha256 {found[:12]}..., expected {content_sha256[:12]}...")
        except (OSError, EOFError, zlib.error, http.client.HTTPException) as error:
            failures.append(f"{url}: {_reason(error)}")
        finally:
            partial.unlink(missing_ok=True)
    raise Unavailable(
        f"{target.name} could not be downloaded (" + "; ".join(failures) + ")",
        context={"file": target.name, "failures": failures},
    )


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.URLError) and not isinstance(error, urllib.error.HTTPError):
        return str(error.reason)
    return str(error) or type(error).__name__
