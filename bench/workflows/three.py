"""Three steps that do nothing."""

import argosy as ar


@ar.step
def add_one(value: int) -> int:
    return value + 1


@ar.workflow
def three() -> int:
    return add_one(add_one(add_one(0)))
