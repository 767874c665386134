"""Request bodies read by the schemas of /openapi.json as pydantic 1 read them: same conversions, same complaints."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

_SCHEMAS = Path(__file__).parent / "data" / "schemas.json"
_TRUE = frozenset({1, "1", "on", "t", "true", "y", "yes"})
_FALSE = frozenset({0, "0", "off", "f", "false", "n", "no"})

Location = tuple[str | int, ...]


class InvalidRequestError(Exception):
    """A request that does not fit its schema; `details` is what the answer's `detail` lists."""

    def __init__(self, details: list[dict[str, Any]]) -> None:
        super().__init__(f"{len(details)} fields do not fit")
        self.details = details


@lru_cache(maxsize=1)
def read_schemas() -> dict[str, dict[str, Any]]:
    """Give the OpenAPI schemas of all bodies by name."""
    schemas: dict[str, dict[str, Any]] = json.loads(_SCHEMAS.read_text("utf-8"))
    return schemas


def read_json(body: bytes, content_type: str | None) -> Any:
    """Give a body's value, or the bytes themselves if they are not declared as JSON; None stands for no body.

    Raises InvalidRequestError for broken JSON.
    """
    if not body:
        return None
    kind = (content_type or "application/json").partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        return body
    try:
        text = body.decode(json.detect_encoding(body), "surrogatepass")
    except UnicodeDecodeError as error:
        raise _invalid(("body",), "There was an error parsing the body", "value_error") from error
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        context = {"msg": error.msg, "doc": error.doc, "pos": error.pos, "lineno": error.lineno, "colno": error.colno}
        raise _invalid(("body", error.pos), str(error), "value_error.jsondecode", context) from error
    except RecursionError as error:
        raise _invalid(("body",), "There was an error parsing the body", "value_error") from error


def read_form(schema_name: str | None, value: Any) -> dict[str, Any]:
    """Fit a body into a schema: all fields with defaults, unknown ones dropped; without a schema any object is taken.

    Raises InvalidRequestError with one detail for each field that does not fit.
    """
    if value is None:
        raise _invalid(("body",), "field required", "value_error.missing")
    if schema_name is None:
        return dict(_read_object(value, ("body",)))
    details: list[dict[str, Any]] = []
    form = _read_fields(read_schemas()[schema_name], value, ("body",), details)
    if details:
        raise InvalidRequestError(details)
    return form


def read_query(declared: Mapping[str, dict[str, Any]], given: Mapping[str, str]) -> dict[str, Any]:
    """Fit query parameters into their schemas. Raises InvalidRequestError."""
    details: list[dict[str, Any]] = []
    schema = {"properties": declared, "required": [name for name, one in declared.items() if one.get("required")]}
    form = _read_fields(schema, dict(given), ("query",), details)
    if details:
        raise InvalidRequestError(details)
    return form


def _invalid(place: Location, text: str, kind: str, context: dict[str, Any] | None = None) -> InvalidRequestError:
    detail: dict[str, Any] = {"loc": list(place), "msg": text, "type": kind}
    if context is not None:
        detail["ctx"] = context
    return InvalidRequestError([detail])


def _read_fields(schema: dict[str, Any], value: Any, place: Location, details: list[dict[str, Any]]) -> dict[str, Any]:
    form: dict[str, Any] = {}
    try:
        given = _read_object(value, place)
    except InvalidRequestError as error:
        details += error.details
        return form
    for name, field in schema["properties"].items():
        try:
            if name in given:
                form[name] = _read_value(field, given[name], (*place, name))
            elif name in schema.get("required", ()):
                raise _invalid((*place, name), "field required", "value_error.missing")
            else:
                form[name] = copy.copy(field.get("default"))
        except InvalidRequestError as error:
            details += error.details
    return form


def _read_value(field: dict[str, Any], value: Any, place: Location) -> Any:
    if "$ref" in field:
        details: list[dict[str, Any]] = []
        form = _read_fields(read_schemas()[field["$ref"].rpartition("/")[2]], value, place, details)
        if details:
            raise InvalidRequestError(details)
        return form
    if value is None:
        if field.get("nullable") or "type" not in field:
            return None
        raise _invalid(place, "none is not an allowed value", "type_error.none.not_allowed")
    if "enum" in field:
        return _read_choice(field["enum"], value, place)
    kind = field.get("type")
    if kind == "array":
        return _read_list(field.get("items", {}), value, place)
    if kind is None:
        return value
    return _check_bounds(field, _READERS[kind](value, place), place)


def _read_choice(choices: list[Any], value: Any, place: Location) -> Any:
    if not isinstance(value, (list, dict)) and value in choices:
        return value
    permitted = ", ".join(map(repr, choices))
    context = {"given": value, "permitted": choices}
    raise _invalid(place, f"unexpected value; permitted: {permitted}", "value_error.const", context)


def _read_list(items: dict[str, Any], value: Any, place: Location) -> list[Any]:
    if not isinstance(value, list):
        raise _invalid(place, "value is not a valid list", "type_error.list")
    details: list[dict[str, Any]] = []
    read: list[Any] = []
    for position, item in enumerate(value):
        try:
            read.append(_read_value(items, item, (*place, position)))
        except InvalidRequestError as error:
            details += error.details
    if details:
        raise InvalidRequestError(details)
    return read


def _read_object(value: Any, place: Location) -> dict[str, Any]:
    if isinstance(value, (bytes, str)) and value:
        raise _invalid(place, "value is not a valid dict", "type_error.dict")
    try:
        # pydantic 1 gave anything to dict() that was none: an empty list became an empty object.
        return value if isinstance(value, dict) else dict(value)
    except (TypeError, ValueError) as error:
        raise _invalid(place, "value is not a valid dict", "type_error.dict") from error


def _read_integer(value: Any, place: Location) -> int:
    try:
        if isinstance(value, (list, dict)):
            raise TypeError
        return int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise _invalid(place, "value is not a valid integer", "type_error.integer") from error


def _read_number(value: Any, place: Location) -> float:
    try:
        if isinstance(value, (list, dict)):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise _invalid(place, "value is not a valid float", "type_error.float") from error


def _read_string(value: Any, place: Location) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)):
        return str(value)
    raise _invalid(place, "str type expected", "type_error.str")


def _read_boolean(value: Any, place: Location) -> bool:
    lowered = value.lower() if isinstance(value, str) else value
    if not isinstance(lowered, (list, dict)):
        if lowered in _TRUE:
            return True
        if lowered in _FALSE:
            return False
    raise _invalid(place, "value could not be parsed to a boolean", "type_error.bool")


_READERS: dict[str, Callable[[Any, Location], Any]] = {
    "integer": _read_integer,
    "number": _read_number,
    "string": _read_string,
    "boolean": _read_boolean,
    "object": _read_object,
}


def _check_bounds(field: dict[str, Any], value: Any, place: Location) -> Any:
    low, high = field.get("minimum"), field.get("maximum")
    if low is not None and field.get("exclusiveMinimum") and not value > low:
        raise _out_of_bounds(place, "greater than", "not_gt", low)
    if low is not None and not value >= low:
        raise _out_of_bounds(place, "greater than or equal to", "not_ge", low)
    if high is not None and not value <= high:
        raise _out_of_bounds(place, "less than or equal to", "not_le", high)
    return value


def _out_of_bounds(place: Location, words: str, kind: str, limit: float) -> InvalidRequestError:
    shown = int(limit) if float(limit).is_integer() else limit
    text = f"ensure this value is {words} {shown}"
    return _invalid(place, text, f"value_error.number.{kind}", {"limit_value": shown})
