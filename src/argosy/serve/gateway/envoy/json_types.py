"""Shorthand shared by the builders."""

from __future__ import annotations

import hashlib
import json
from typing import Any

Json = dict[str, Any]

_TYPE = "type.googleapis.com/"
_EXTENSIONS = f"{_TYPE}envoy.extensions."


def typed(name: str, type_name: str, **fields: Any) -> Json:
    """A named extension: ``type_name`` is what follows ``envoy.extensions.``."""
    return {"name": name, "typed_config": config(type_name, **fields)}


def config(type_name: str, **fields: Any) -> Json:
    """An extension's configuration without its name, as routes hold it."""
    return {"@type": _EXTENSIONS + type_name, **fields}


def duration(seconds: float) -> str:
    return f"{seconds:g}s"


def loopback(port: int) -> Json:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def pipe(path: str) -> Json:
    return {"pipe": {"path": path, "mode": 0o600}}


def inside(listener: str) -> Json:
    """The address of a listener that only this Envoy can reach."""
    return {"envoy_internal_address": {"server_listener_name": listener}}


def watched(path: str) -> Json:
    """A configuration source: the file is read again whenever another is renamed over it."""
    return {"path_config_source": {"path": path}, "resource_api_version": "V3"}


def discovery(resource_type: str, *resources: Json) -> Json:
    """The content of such a file."""
    tagged = [{"@type": _TYPE + resource_type, **resource} for resource in resources]
    return {"resources": tagged}


def versioned(content: Json) -> Json:
    """With a name for just this content, which Envoy repeats once it works by it."""
    text = json.dumps(content, sort_keys=True).encode()
    return {**content, "version_info": hashlib.sha256(text).hexdigest()[:16]}


def header(key: str, value: str) -> Json:
    """A header to set, whatever it was before."""
    return {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def header_is(name: str, value: str) -> Json:
    return {"name": name, "string_match": {"exact": value}}


def header_present(name: str, *, present: bool = True) -> Json:
    return {"name": name, "present_match": present}


def text(template: str) -> Json:
    return {"text_format_source": {"inline_string": template}}


def direct(match: Json, status: int, *, headers: tuple[Json, ...] = (), **body: Any) -> Json:
    """A route that the gateway answers itself, without waiting for the request's body."""
    dynamic = any("%" in value for value in body.values() if isinstance(value, str))
    answer: Json = {"status": status}
    if dynamic:
        answer["body_format"] = {"json_format": body}
    else:
        answer["body"] = {"inline_string": json.dumps(body)}
    return {
        "match": match,
        "direct_response": answer,
        "response_headers_to_add": [header("content-type", "application/json"), *headers],
        "typed_per_filter_config": {BUFFER: unbuffered()},
    }


def direct_text(match: Json, status: int, template: str, *, name: str = "") -> Json:
    """The like, of a text from which the listener's error bodies make a document."""
    made = direct(match, status)
    answer: Json = {"status": status, "body_format": text(template)}
    return {**made, "name": name, "direct_response": answer}


BUFFER = "envoy.filters.http.buffer"


def unbuffered() -> Json:
    return config("filters.http.buffer.v3.BufferPerRoute", disabled=True)
