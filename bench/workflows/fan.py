"""Steps that do nothing, side by side, and one that waits for all."""

import argosy as ar


@ar.step
def square(value: int) -> int:
    return value * value


@ar.step
def total(values: list[int]) -> int:
    return sum(values)


@ar.workflow
def fan(width: int = 200) -> int:
    return total([square(value) for value in range(width)])


@ar.step(memoize=ar.Memoize())
def remembered_square(value: int) -> int:
    return value * value


@ar.step(memoize=ar.Memoize())
def remembered_total(values: list[int]) -> int:
    return sum(values)


@ar.workflow
def remembered_fan(width: int = 200) -> int:
    return remembered_total([remembered_square(value) for value in range(width)])
