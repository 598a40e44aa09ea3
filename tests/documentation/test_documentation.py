"""What the documents promise holds: their links lead somewhere, the README's workflow is one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from argosy.flow.loading import load

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))


def python_blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())
    relative = [target for target in targets if "://" not in target]
    assert [target for target in relative if not (page.parent / target).exists()] == []


@pytest.mark.parametrize(
    ("page", "nodes"), [("README.md", 5), ("docs/concepts.md", 1)], ids=["README", "concepts"]
)
def test_the_workflow_on_the_page_can_be_traced(page: str, nodes: int, tmp_path: Path) -> None:
    (block,) = python_blocks(ROOT / page)
    file = tmp_path / "on_the_page.py"
    file.write_text(block)
    graph = load(file, None).workflow.trace()
    assert len(graph.nodes) == nodes


def test_every_decision_is_listed_once_and_has_its_four_parts() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    numbers = [decision.name[:4] for decision in DECISIONS]
    assert numbers == sorted(set(numbers))
    for decision in DECISIONS:
        assert index.count(decision.name) == 1
        headings = re.findall(r"^## (.+)$", decision.read_text(), re.MULTILINE)
        assert {"Context", "Choice", "Rejected", "How it is tested"} <= set(headings), decision.name


def test_every_page_is_listed() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md"}
    assert {page for page in pages if f"]({page})" not in index} == set()


def test_no_requirement_names_the_place_it_came_from() -> None:
    for file in (ROOT / "requirements").glob("*.txt"):
        assert "://" not in file.read_text()
        pinned = re.findall(r"^[a-z0-9][^\n]*==", file.read_text(), re.MULTILINE)
        assert len(pinned) <= file.read_text().count("--hash=sha256:")
