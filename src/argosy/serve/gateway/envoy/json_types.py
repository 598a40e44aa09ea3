"""Shorthand shared by the builders."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

_TYPE = "type.googleapis.com/"
_EXTENSIONS = f"{_TYPE}envoy.extensions."


def typed(name: str, type_name: str, **fields: Any) -> Json:
    """A named extension: ``type_name`` is what follows ``envoy.extensions.``."""
    return {"name": name, "typed_config": {"@type": _EXTENSIONS + type_name, **fields}}


def duration(seconds: float) -> str:
    return f"{seconds:g}s"


def loopback(port: int) -> Json:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def pipe(path: str) -> Json:
    return {"pipe": {"path": path, "mode": 0o600}}


def watched(path: str) -> Json:
    """A configuration source: the file is read again whenever another is renamed over it."""
    return {"path_config_source": {"path": path}, "resource_api_version": "V3"}


def discovery(resource_type: str, *resources: Json) -> Json:
    """The content of such a file."""
    tagged = [{"@type": _TYPE + resource_type, **resource} for resource in resources]
    return {"resources": tagged}


def json_header(key: str, value: str) -> Json:
    return {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
