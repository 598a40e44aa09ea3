"""``python -m argosy.control --home HOME [--ready-fd N]``: one control plane, in the foreground."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from argosy.control.process import run
from argosy.home import Home


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m argosy.control", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="the folder that holds all state")
    parser.add_argument(
        "--ready-fd", type=int, help="where to announce, as a line of JSON, how the start went"
    )
    arguments = parser.parse_args()
    return run(Home(arguments.home.absolute()), arguments.ready_fd)


if __name__ == "__main__":
    sys.exit(main())
