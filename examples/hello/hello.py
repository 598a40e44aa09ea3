"""The smallest workflow with something in it: fan-out, fan-in and a memo.

argosy run examples/hello/hello.py --names '["Ada", "Grace"]'
"""

from __future__ import annotations

import argosy as ar


@ar.step(memoize=ar.Memoize(max_age="1d"))
def greet(name: str) -> str:
    print(f"greeting {name}")
    return f"hello {name}"


@ar.step
def join(greetings: list[str]) -> str:
    return ", ".join(greetings)


@ar.workflow
def hello(names: list[str] = ["world", "fleet"]) -> str:  # noqa: B006 - a workflow's default is only read
    """Greet everyone, each in a process of its own, and join the greetings."""
    return join([greet(name) for name in names])
