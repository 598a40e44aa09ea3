"""What a person at a terminal sees."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import re
import select
import subprocess
import time

from rich.console import Console

from argosy.api.views import NodeView, RunView
from argosy.cli.progress.live import LiveProgress
from argosy.cli.progress.rows import rows

from .conftest import COMMAND, Command

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def on_terminal(argosy: Command, *arguments: str, **extra: str) -> tuple[int, str]:
    """Exit code and everything drawn, without colours and cursor movements."""
    ours, theirs = pty.openpty()
    environment = argosy.environment(TERM="xterm-256color", LINES="30", **extra)
    process = subprocess.Popen(
        [*COMMAND, *arguments], cwd=argosy.folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    drawn = b""
    deadline = time.monotonic() + 60
    with contextlib.suppress(OSError):
        while select.select([ours], [], [], deadline - time.monotonic())[0]:
            part = os.read(ours, 65536)
            if not part:
                break
            drawn += part
    os.close(ours)
    return process.wait(60), ESCAPES.sub("", drawn.decode()).replace("\r", "")


def test_a_run_is_a_table_with_a_row_for_each_node(argosy: Command) -> None:
    code, drawn = on_terminal(argosy, "run", "hello.py", "--outcome", "fail")
    assert code == 1
    assert re.search(r"· +shout +waiting +waits for greet", drawn)
    assert re.search(r"greet +running +\S+ +epoch 2 · step 340 · loss 0.25 · accuracy 0.875", drawn)
    assert re.search(r"✓ +greet +done +1.0s", drawn)
    assert re.search(r"≡ +shout +from cache +equal code and inputs, 3m old", drawn)
    assert re.search(r"✗ +join +failed +1.0s +ValueError: no such luck", drawn)
    assert "join failed: ValueError: no such luck\n  at hello.py:7\n" in drawn


def test_a_thousand_nodes_are_one_row_with_counts(argosy: Command) -> None:
    _, drawn = on_terminal(argosy, "run", "hello.py", "--outcome", "wide", "--width", "1000")
    assert re.search(r"✗ +join ×1,000 +failed +1.0s +1 failed · 999 done", drawn)
    assert drawn.count("\n") < 60


def test_brackets_in_names_and_arguments_are_shown_as_they_are() -> None:
    nodes = [
        NodeView("use-1", "use", "step", "waiting", label="x=[b-1, b-2]"),
        NodeView("use-2", "use", "step", "failed", label="x=[/b]", reason="no [bold] key"),
    ]
    progress = LiveProgress()
    progress._run = RunView("r-1", "hello", "running", 100.0, nodes=nodes)
    progress._rows = rows(progress._run)
    console = Console(file=io.StringIO(), width=120)
    console.print(progress._draw())
    drawn = console.file.getvalue()  # type: ignore[attr-defined]
    assert "use-1 (x=[b-1, b-2])" in drawn
    assert "use-2 (x=[/b])" in drawn
    assert "no [bold] key" in drawn


def test_a_terminal_without_unicode_gets_plain_signs(argosy: Command) -> None:
    code, drawn = on_terminal(argosy, "run", "hello.py", PYTHONIOENCODING="ascii", LC_ALL="C")
    assert code == 0
    assert re.search(r"s +greet +done", drawn)


def test_lists_are_tables(argosy: Command) -> None:
    on_terminal(argosy, "run", "hello.py")
    code, drawn = on_terminal(argosy, "runs")
    assert code == 0
    assert re.search(r"RUN +WORKFLOW +STATE", drawn)
    assert "hello-0001" in drawn
