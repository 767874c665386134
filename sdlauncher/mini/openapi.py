"""The document at /openapi.json: OpenAPI 3.0.2, as FastAPI wrote it in the days of pydantic 1."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable
from typing import Any

from sdlauncher.mini.endpoints import ANY_OBJECT, Endpoint
from sdlauncher.mini.fields import read_schemas
from sdlauncher.mini.flags import read_flag_table
from sdlauncher.mini.settings import read_option_table

_REF = "#/components/schemas/"
_KINDS = {"switch": "boolean", "integer": "integer", "json": "object"}


def write_document(endpoints: Iterable[Endpoint]) -> dict[str, Any]:
    """Describe endpoints."""
    paths: dict[str, Any] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _describe(endpoint)
    return {
        "openapi": "3.0.2",
        "info": {"title": "Mini WebUI", "version": "0.1.0"},
        "paths": paths,
        "components": {"schemas": _schemas()},
    }


def _describe(endpoint: Endpoint) -> dict[str, Any]:
    words = re.sub(r"\W+", "_", endpoint.path.strip("/"))
    operation: dict[str, Any] = {
        "summary": words.rpartition("v1_")[2].replace("_", " ").capitalize() or "Page",
        "operationId": f"{words or 'page'}_{endpoint.method.lower()}",
    }
    if endpoint.query:
        operation["parameters"] = [
            {
                "required": bool(schema.get("required", False)),
                "schema": {key: value for key, value in schema.items() if key != "required"},
                "name": name,
                "in": "query",
            }
            for name, schema in endpoint.query.items()
        ]
    if endpoint.body is not None:
        schema = {"type": "object"} if endpoint.body == ANY_OBJECT else {"$ref": _REF + endpoint.body}
        operation["requestBody"] = {"content": {"application/json": {"schema": schema}}, "required": True}
    operation["responses"] = {
        "200": _answer(_response_schema(endpoint.response), "Successful Response", endpoint.media)
    }
    if endpoint.body is not None or endpoint.query:
        operation["responses"]["422"] = _answer({"$ref": f"{_REF}HTTPValidationError"}, "Validation Error")
    return operation


def _answer(schema: dict[str, Any], description: str, media: str = "application/json") -> dict[str, Any]:
    return {"description": description, "content": {media: {"schema": schema}}}


def _response_schema(name: str | None) -> dict[str, Any]:
    if name is None:
        return {}
    if name.startswith("["):
        return {"type": "array", "items": {"$ref": _REF + name.strip("[]")}}
    return {"$ref": _REF + name}


def _schemas() -> dict[str, Any]:
    schemas = copy.deepcopy(read_schemas())
    schemas["Options"] = {
        "type": "object",
        "properties": {
            name: {key: value for key, value in entry.items() if value is not None}
            | ({"items": {}} if entry["type"] == "array" else {})
            for name, entry in read_option_table().items()
        },
    }
    schemas["Flags"] = {
        "type": "object",
        "properties": {row["flag"].lstrip("-").replace("-", "_"): _flag(row) for row in read_flag_table()},
    }
    for name, schema in schemas.items():
        schema["title"] = name.rpartition("__")[2]
    return schemas


def _flag(row: dict[str, Any]) -> dict[str, Any]:
    if row["kind"] in ("words", "repeated"):
        return {"type": "array", "items": {}, "default": row["default"]}
    if row["default"] is None:
        # Types were guessed from defaults: with none, even a number is shown, and answered, as text.
        return {"type": "string", "nullable": True}
    return {"type": _KINDS.get(row["kind"], "string"), "default": row["default"]}
