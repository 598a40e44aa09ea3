"""Class names in the answer of an ensemble: those of its members' metadata, for the merged probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode

import numpy as np
import orjson

from argosy.errors import InvalidInput
from argosy.serve.router.aggregate import Floats

_ASKED = "labels"
_YES = frozenset(("true", "1"))


def of_query(query: str) -> tuple[bool, str]:
    """Whether labels are asked for, and the query without that question."""
    if _ASKED not in query:
        return False, query
    pairs = parse_qsl(query, keep_blank_values=True)
    asked = any(key == _ASKED and value in _YES for key, value in pairs)
    return asked, urlencode([pair for pair in pairs if pair[0] != _ASKED])


def of_body(body: bytes) -> tuple[bool, bytes]:
    """The same of a request's ``parameters``. What is not JSON stays as it is: the members say why."""
    if b'"labels"' not in body:
        return False, body
    try:
        document = orjson.loads(body)
        asked = document["parameters"].pop(_ASKED)
    except (ValueError, KeyError, TypeError, AttributeError):
        return False, body
    if not document["parameters"]:
        del document["parameters"]
    return bool(asked), orjson.dumps(document)


def of_values(values: Mapping[str, Floats], labels: Sequence[Any]) -> list[Any]:
    """The name of each instance's best class. Raises InvalidInput when there is none."""
    if not labels:
        raise InvalidInput(
            "labels are asked for, but the models know no names of classes",
            hint="export the model with its labels, or ask without",
        )
    for array in values.values():
        if array.ndim == 2 and array.shape[1] == len(labels):
            return [labels[best] for best in np.nan_to_num(array, nan=-np.inf).argmax(axis=1)]
    shapes = ", ".join(str(list(array.shape)) for array in values.values())
    raise InvalidInput(
        f"labels are asked for, but the answer has shape {shapes} and there are {len(labels)} labels",
        hint="ask without labels",
    )
