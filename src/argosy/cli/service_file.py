"""``SERVICE.yaml``: a service in the words of ServiceOptions, each of them with its line."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from argosy.cli.service_arguments import read_text
from argosy.errors import InvalidInput, InvalidRequest
from argosy.flow.service_rules import Fault

_MOST_VALUES = 10_000


@dataclass(slots=True)
class ServiceFile:
    """``tree`` is what the file holds as plain values, ``lines`` where each dotted place in it stands."""

    path: Path
    tree: dict[str, Any]
    lines: dict[str, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def where(self, place: str) -> str:
        """``FILE:LINE`` of a place, or of the nearest one around it."""
        inner = place
        while inner and inner not in self.lines:
            inner = inner.rpartition(".")[0]
        line = self.lines.get(inner)
        return f"{self.path}:{line}" if line else str(self.path)


def read_service_file(path: Path) -> ServiceFile:
    """Raises InvalidInput, NotFound, InvalidRequest for what is no YAML; ``faults`` has keys given twice."""
    text = _checked(path, read_text(path))
    try:
        return _read(path, yaml.SafeLoader(text))
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InvalidInput(f"{path}{line}: {error.problem or error}", hint="mend the YAML") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        what = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InvalidInput(f"{path} is not YAML: {what}", hint="mend the file") from None


def _read(path: Path, loader: yaml.SafeLoader) -> ServiceFile:
    try:
        root = loader.get_single_node()
        if not isinstance(root, yaml.MappingNode):
            raise InvalidRequest(
                f"{path} holds no service", hint="write, for instance, 'name: fashion' and 'models: [model]'"
            )
        reading = _Reading(loader, ServiceFile(path, {}))
        reading.file.tree = reading.mapping(root, "")
        return reading.file
    finally:
        loader.dispose()


def _checked(path: Path, text: str) -> str:
    if len(text) > 1 << 20:
        raise InvalidInput(f"{path} is larger than 1 MiB", hint="name the file that describes the service")
    return text


class _Reading:
    """From YAML's nodes to plain values. Aliases may repeat values, but not without end."""

    def __init__(self, loader: yaml.SafeLoader, file: ServiceFile) -> None:
        self.file = file
        self._loader = loader
        self._count = 0

    def mapping(self, node: yaml.MappingNode, place: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            inner = f"{place}.{key}" if place else key
            if key in found:
                self.file.faults.append(Fault(inner, f"{key!r} is given twice", "drop one of them"))
            self.file.lines[inner] = key_node.start_mark.line + 1
            found[key] = self._value(value_node, inner)
        return found

    def _value(self, node: yaml.Node, place: str) -> Any:
        self._count += 1
        if self._count > _MOST_VALUES:
            raise yaml.YAMLError(f"it holds more than {_MOST_VALUES} values")
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, place)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, f"{place}.{index}") for index, item in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)
        if ":" in node.value and node.tag == "tag:yaml.org,2002:int":
            # YAML 1.1 reads 1:4 as a number to the base of sixty.
            return node.value
        return self._loader.construct_object(node)
