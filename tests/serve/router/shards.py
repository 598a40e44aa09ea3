"""Shards for large requests, and what is asked of them."""

from __future__ import annotations

import json
from typing import Any

from .standin import Asked, RouterProcess, Told

ONE = ("s.m",)


def doubling(asked: Asked) -> Told:
    """Predicts twice the number that an instance is."""
    if asked.path.endswith("/metadata"):
        return Told(200, {"inputs": [{"shape": [-1, 2, 3, 1]}], "labels": ["x", "y"]})
    return Told(200, {"predictions": [[2 * one] for one in asked.json["instances"]]})


def numbers(count: int) -> dict[str, Any]:
    return {"instances": list(range(count))}


def predictions(body: bytes) -> Any:
    return json.loads(body)["predictions"]


def sent(process: RouterProcess) -> list[Asked]:
    return [one for one in process.members.asked if one.method == "POST"]


CLEANING = """
calls = []

def odd(predictions):
    kept = [row for row in predictions if row[0] % 4]
    return kept or None

def raises(predictions):
    return predictions[100]

def nonsense(predictions):
    return 7

def image(answer):
    assert set(answer) == {"tiles", "predictions"}
    return {"most": max(row[0] for row in answer["predictions"]), "tiles": answer["tiles"]}
"""
