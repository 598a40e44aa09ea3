"""Schemas of what a model server says of itself and of errors: the same for every model."""

from __future__ import annotations

from typing import Any

TEXT: dict[str, Any] = {"type": "string"}
BOOLEAN: dict[str, Any] = {"type": "boolean"}


def document_schemas() -> dict[str, Any]:
    return {
        "Error": object_of({"error": TEXT, "code": TEXT}, {"hint": TEXT}),
        "Live": object_of({"live": {"const": True}}),
        "Ready": object_of({"ready": {"const": True}}),
        "NotReady": object_of({"ready": {"const": False}, "error": TEXT}),
        "Models": object_of({"models": array_of(TEXT)}),
        "Status": object_of(
            {"name": TEXT, "ready": BOOLEAN, "model_version_status": array_of(_version_status())}
        ),
        "Server": object_of({"name": TEXT, "version": TEXT, "extensions": array_of(TEXT)}),
        "ModelReady": object_of({"name": TEXT, "ready": BOOLEAN}),
        "MetadataV2": object_of(_metadata()),
        "MetadataV1": object_of(
            {
                **_metadata(),
                "model_spec": object_of({"name": TEXT, "signature_name": TEXT, "version": TEXT}),
                "metadata": object_of({"signature_def": object_of({"signature_def": {"type": "object"}})}),
                "labels": array_of(TEXT),
            }
        ),
    }


def object_of(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    """An object with these members and no others."""
    properties = {**required, **(optional or {})}
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**schema, "required": list(required)} if required else schema


def open_object(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    """An object that may have members nobody looks at."""
    return {**object_of(required, optional), "additionalProperties": True}


def array_of(items: dict[str, Any], least: int = 0, most: int | None = None) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "array", "items": items}
    if least:
        schema["minItems"] = least
    if most is not None:
        schema["maxItems"] = most
    return schema


def any_of(schemas: list[dict[str, Any]]) -> dict[str, Any]:
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "type": [schema["type"], "null"]}


def _version_status() -> dict[str, Any]:
    status = object_of({"error_code": TEXT, "error_message": TEXT})
    return object_of({"version": TEXT, "state": TEXT, "status": status})


def _metadata() -> dict[str, Any]:
    tensor = object_of({"name": TEXT, "datatype": TEXT, "shape": array_of({"type": "integer"})})
    return {
        "name": TEXT,
        "versions": array_of(TEXT),
        "platform": TEXT,
        "inputs": array_of(tensor),
        "outputs": array_of(tensor),
        "properties": {"type": "object", "additionalProperties": TEXT},
    }
