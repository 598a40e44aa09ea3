"""Steps that do nothing, one after another."""

import argosy as ar


@ar.step
def add_one(value: int) -> int:
    return value + 1


@ar.workflow
def chain(length: int = 100) -> int:
    value = add_one(0)
    for _ in range(length - 1):
        value = add_one(value)
    return value
