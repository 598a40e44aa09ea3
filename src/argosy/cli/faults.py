"""A fault of Argosy itself: one line for the user, the traceback to a file."""

from __future__ import annotations

import os
import tempfile
import traceback
from datetime import UTC, datetime
from pathlib import Path

from argosy.errors import ArgosyError
from argosy.home import Home


def fault(error: Exception) -> ArgosyError:
    return ArgosyError(
        f"Argosy itself failed: {type(error).__name__}: {error}",
        hint=f"this is a fault in Argosy; the full traceback is in {_record(error)}",
    )


def _record(error: Exception) -> Path:
    text = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}\n{''.join(traceback.format_exception(error))}\n"
    path = Home.from_environment().logs / "cli.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(text)
    except OSError:
        descriptor, name = tempfile.mkstemp(prefix="argosy-", suffix=".log", text=True)
        with os.fdopen(descriptor, "w") as spare:
            spare.write(text)
        return Path(name)
    return path
