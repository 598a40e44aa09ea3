"""Writes MLServer's two settings files into a folder of its own, and becomes `mlserver start` there."""

# mypy: ignore-errors
# Only the environment of this peer has its packages.

import json
import os
import sys
import tempfile
from pathlib import Path

from decoding import PORT

HERE = Path(__file__).parent
SETTINGS = {
    "debug": False,
    "host": "127.0.0.1",
    "http_port": PORT,
    "grpc_port": PORT + 1,
    "metrics_port": PORT + 2,
    "parallel_workers": 2,
    "gzip_enabled": False,
}

if __name__ == "__main__":
    folder = Path(tempfile.mkdtemp(prefix="argosy-bench-mlserver-"))
    (folder / "settings.json").write_text(json.dumps(SETTINGS))
    (folder / "model-settings.json").write_text(
        json.dumps({"name": "bench", "implementation": "mlserver_runtime.Classifier"})
    )
    os.environ["PYTHONPATH"] = str(HERE)
    os.chdir(folder)
    os.execv(Path(sys.executable).with_name("mlserver"), ["mlserver", "start", "."])
