"""From the options of ``argosy serve`` and a SERVICE.yaml to one request, with everything that is wrong."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from argosy.api.serving import ServeRequest
from argosy.cli.service_arguments import (
    parse_limit,
    parse_numbers,
    parse_replicas,
    parse_tile,
    read_labels,
    read_preprocessing,
)
from argosy.errors import InvalidRequest, NotFound
from argosy.flow.service_functions import FoundFunction, function_in_file
from argosy.flow.service_options import FunctionReference, ServiceOptions, Strategy
from argosy.flow.service_reading import OptionReader, shown
from argosy.flow.service_rules import Fault, faults

if TYPE_CHECKING:
    from argosy.cli.service_file import ServiceFile

ARTIFACT = "artifact:"
_FUNCTIONS = (("sharding", "clean"), ("ensemble", "function"))
_OWN = ("name", "models", "replicas", "aggregate", "labels", "preprocessing", "watch")

# Where each option of the command line belongs, and how it is read.
Parse = Callable[[Any], Any]
PLACES: dict[str, tuple[str, Parse]] = {
    "strategy": ("strategy", str),
    "metric": ("scaling.metric", str),
    "target": ("scaling.target", float),
    "stable_window": ("scaling.stable_window_seconds", str),
    "panic_window": ("scaling.panic_window_seconds", str),
    "idle": ("scaling.idle_seconds", str),
    "max_batch_size": ("batching.max_batch_size", int),
    "max_wait": ("batching.max_wait_seconds", str),
    "queue": ("batching.queue_requests", int),
    "inference_timeout": ("batching.inference_seconds", str),
    "balancing": ("balancing.policy", str),
    "hash_header": ("balancing.hash_header", str),
    "rows": ("sharding.rows", int),
    "tile": ("sharding.tile", parse_tile),
    "clean": ("sharding.clean", str),
    "weights": ("ensemble.weights", parse_numbers),
    "member_timeout": ("ensemble.member_seconds", str),
    "quorum": ("ensemble.quorum", int),
    "require_token": ("access.require_token", bool),
}


class Description:
    """A service as it was written, in a file and on the command line, which counts more."""

    def __init__(self, given: Mapping[str, Any], file: ServiceFile | None) -> None:
        self.faults: list[Fault] = list(file.faults) if file else []
        self.sources: dict[str, dict[str, str]] = {}
        self._file = file
        self._folder = file.path.parent if file else Path()
        self._named: dict[str, str] = {}
        self.tree: dict[str, Any] = _copied(file.tree) if file else {}
        for place in _FUNCTIONS:
            self._make_absolute(*place)
        self._overlay(given)
        self._split_aggregate()

    def _make_absolute(self, group: str, option: str) -> None:
        inner = self.tree.get(group)
        if isinstance(inner, dict) and isinstance(inner.get(option), str):
            inner[option] = str(self._folder / inner[option])

    def _overlay(self, given: Mapping[str, Any]) -> None:
        for name, (place, parse) in PLACES.items():
            if given.get(name) is not None:
                self._read(_option(name), place, parse, given[name])
        for text in given.get("limit") or ():
            self._limit(text)
        self._release(given)
        if given.get("replicas") is not None:
            self._read("--replicas", "replicas", parse_replicas, given["replicas"])
        for name in ("name", "aggregate", "watch"):
            if given.get(name) is not None:
                self._put(f"--{name}", name, given[name])
        if given.get("labels") is not None:
            self._read("--labels", "labels", read_labels, given["labels"])
        if given.get("preprocessing") is not None:
            self._read("--preprocessing", "preprocessing", read_preprocessing, given["preprocessing"])

    def _read(self, option: str, place: str, parse: Parse, value: Any) -> None:
        self._named[place] = option
        try:
            self._put(option, place, parse(value))
        except (InvalidRequest, NotFound) as error:
            self.faults.append(Fault(place, error.message, error.hint))

    def _put(self, option: str, place: str, value: Any) -> None:
        self._named[place] = option
        *groups, last = place.split(".")
        inner = self.tree
        for group in groups:
            if not isinstance(inner.get(group), dict):
                inner[group] = {}
            inner = inner[group]
        inner[last] = value

    def _limit(self, text: str) -> None:
        try:
            tier, limit = parse_limit(text)
        except InvalidRequest as error:
            self.faults.append(Fault("access.tiers", error.message, error.hint))
            self._named["access.tiers"] = "--limit"
            return
        place = f"access.tiers.{tier}"
        if self._named.get(place) == "--limit":
            self.faults.append(Fault(place, f"tier {tier!r} has two limits", "give each tier one --limit"))
            return
        self._put("--limit", place, limit)

    def _release(self, given: Mapping[str, Any]) -> None:
        chosen = [name for name in ("canary", "shadow", "hold") if given.get(name) not in (None, False)]
        if len(chosen) > 1:
            names = " and ".join(f"--{name}" for name in chosen)
            self.faults.append(Fault("release", f"{names} can not both be", "choose one of them"))
        elif chosen:
            percent = 0 if chosen == ["hold"] else given[chosen[0]]
            self._put(f"--{chosen[0]}", "release", {"mode": chosen[0], "percent": percent})
            self._named["release.percent"] = f"--{chosen[0]}"

    def _split_aggregate(self) -> None:
        """An aggregate that is FILE.py:FUNCTION is the aggregate 'function' with that function."""
        aggregate = self.tree.get("aggregate")
        if isinstance(aggregate, str) and ":" in aggregate:
            from_option = self._named.get("aggregate")
            folder = Path() if from_option else self._folder
            self._put(from_option or "aggregate", "ensemble.function", str(folder / aggregate))
            if from_option is None:
                del self._named["ensemble.function"]
            self.tree["aggregate"] = "function"

    def where(self, place: str) -> str:
        """What a reader knows a place by: an option, or a line of the file."""
        inner = place
        while inner:
            if inner in self._named:
                return self._named[inner]
            inner = inner.rpartition(".")[0]
        within = [option for name, option in self._named.items() if name.startswith(f"{place}.")]
        if within:
            return ", ".join(within)
        if self._file is not None:
            return f"{self._file.where(place)}: {place}"
        return next((_option(name) for name, (own, _) in PLACES.items() if own == place), place)

    def options(self) -> ServiceOptions:
        """The options of the tree; what is wrong is in ``faults``."""
        reader = OptionReader(self._find_function)
        known = {name: value for name, value in self.tree.items() if name in ServiceOptions.__struct_fields__}
        for name in self.tree:
            if name not in (*known, *_OWN):
                reader.unknown(name, name, [*_OWN, *ServiceOptions.__struct_fields__])
        options = reader.struct(ServiceOptions, known)
        self.faults += reader.faults
        return options

    def _find_function(self, text: str) -> FunctionReference:
        found: FoundFunction = function_in_file(text, Path())
        self.sources[found.reference.source] = found.texts
        return found.reference

    def replicas(self, strategy: Strategy) -> tuple[int, int]:
        value = self.tree.get("replicas")
        match value:
            case None:
                return (0, 1) if strategy is Strategy.EVENT else (1, 1)
            case str():
                try:
                    return parse_replicas(value)
                except InvalidRequest as error:
                    self.faults.append(Fault("replicas", error.message, error.hint))
            case int() if not isinstance(value, bool):
                return (value, value)
            case [int() as least, int() as most]:
                return (least, most)
            case _:
                self._wrong("replicas", value, "MIN:MAX", "write, for instance, 1:4")
        return (1, 1)

    def text(self, place: str, default: str) -> str:
        value = self.tree.get(place, default)
        if isinstance(value, str):
            return value
        self._wrong(place, value, "a text", f"write {place}: NAME")
        return default

    def models(self, given: Sequence[str]) -> list[str]:
        """Absolute paths, and artifacts: those of the command line, or else those of the file."""
        listed: Any = list(given)
        folder = Path()
        if not listed:
            listed, folder = self.tree.get("models", []), self._folder
            listed = [listed] if isinstance(listed, str) else listed
        if not isinstance(listed, list) or not all(isinstance(model, str) for model in listed):
            self._wrong("models", listed, "a list of models", "write models: [MODEL, ...]")
            return []
        if not listed:
            self.faults.append(Fault("models", "there is no model to serve", "name at least one"))
        return [self._model(text, folder) for text in listed]

    def _model(self, text: str, folder: Path) -> str:
        if text.startswith(ARTIFACT):
            return text
        path = (folder / text).absolute()
        if not path.exists():
            names = [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else []
            near = difflib.get_close_matches(path.name, names, n=1)
            hint = (
                "name a model directory, a folder of versions, a .keras or an .onnx file, or artifact:DIGEST"
            )
            self.faults.append(
                Fault("models", f"there is no {text}", f"did you mean {near[0]!r}?" if near else hint)
            )
        return str(path)

    def labels(self) -> list[str]:
        value = self.tree.get("labels", [])
        try:
            labels = read_labels(self._folder / value) if isinstance(value, str) else value
        except (InvalidRequest, NotFound) as error:
            self.faults.append(Fault("labels", error.message, error.hint))
            return []
        if isinstance(labels, list) and all(isinstance(label, str) for label in labels):
            return labels
        self._wrong("labels", value, "a list of names", "write labels: [shirt, boot], or the name of a file")
        return []

    def preprocessing(self) -> dict[str, Any]:
        value = self.tree.get("preprocessing", {})
        if isinstance(value, dict):
            return value
        self._wrong("preprocessing", value, "a group", "write {height: 28, width: 28, channels: 1}")
        return {}

    def watch(self) -> bool | None:
        value = self.tree.get("watch")
        if value is None or isinstance(value, bool):
            return value
        self._wrong("watch", value, "true or false", "write watch: true")
        return None

    def _wrong(self, place: str, value: object, expected: str, hint: str) -> None:
        self.faults.append(Fault(place, f"{shown(value)} is not {expected}", hint))


def describe(models: Sequence[str], given: Mapping[str, Any], *, detach: bool = False) -> ServeRequest:
    """The request. Raises InvalidRequest with everything that is wrong, each with its option or its line."""
    told = Description(given, _file(given.get("file")))
    options = told.options()
    found = told.models(models)
    request = ServeRequest(
        name=told.text("name", ""),
        models=found,
        replicas=told.replicas(options.strategy),
        aggregate=told.text("aggregate", "mean"),
        options=options,
        sources=told.sources,
        labels=told.labels(),
        preprocessing=told.preprocessing(),
        watch=told.watch(),
        detach=detach,
        user=given.get("user") or "",
    )
    if not request.name:
        told.faults.append(Fault("name", "the service has no name", "write --name NAME"))
    if len(found) == 1 and request.aggregate == "function":
        told.faults.append(
            Fault(
                "aggregate",
                "a function makes one answer of several models, and there is one",
                "drop the function, or name more models",
            )
        )
    named = {fault.place for fault in told.faults}
    wrong = faults(options, request.replicas, request.aggregate, len(found) or None)
    told.faults += [fault for fault in wrong if fault.place not in named]
    if told.faults:
        raise _together(told)
    return request


def _file(path: Path | None) -> ServiceFile | None:
    if path is None:
        return None
    # Who names no file waits for no YAML.
    from argosy.cli.service_file import read_service_file

    return read_service_file(path)


def _together(told: Description) -> InvalidRequest:
    problems = [
        {"message": fault.message, "hint": fault.hint, "where": told.where(fault.place)}
        for fault in told.faults
    ]
    lines = [f"{problem['where']}: {problem['message']}" for problem in problems]
    return InvalidRequest("\n".join(lines), hint=problems[0]["hint"], context={"problems": problems})


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _copied(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copied(value) if isinstance(value, dict) else value for key, value in tree.items()}
