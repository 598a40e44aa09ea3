"""Fan-out over a list that is known only when the workflow runs.

argosy run examples/hello/letters.py --text "a fleet of merchant ships"
"""

from __future__ import annotations

import argosy as ar


@ar.step(memoize=ar.Memoize(max_age="1d"))
def split(text: str) -> list[str]:
    return text.split()


@ar.step(memoize=ar.Memoize())
def count(word: str, letter: str) -> int:
    return word.count(letter)


@ar.step
def add(counts: list[int]) -> int:
    return sum(counts)


@ar.workflow
def letters(text: str = "an argosy is a fleet of merchant ships", letter: str = "a") -> int:
    """Count a letter in each word, each word in a process of its own."""
    words = split(text)
    return add(count.map(words, letter))
