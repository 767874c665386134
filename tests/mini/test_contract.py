"""Mini's contract beside the one that was recorded from the real WebUI: paths, fields, types, statuses, failures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.mini.conftest import Running

CONTRACT: dict[str, Any] = json.loads((Path(__file__).parent / "contract.json").read_text("utf-8"))


def _short(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if schema.get("type") == "array":
        return f"list of {_short(schema['items'])}"
    return str(schema.get("type", "any"))


@pytest.fixture(scope="module")
def document(mini: Running) -> dict[str, Any]:
    answer = mini.get("/openapi.json")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize("endpoint", CONTRACT["paths"])
def test_every_recorded_endpoint_is_offered_in_its_form(document: dict[str, Any], endpoint: str) -> None:
    method, path = endpoint.split()
    recorded = CONTRACT["paths"][endpoint]
    offered = document["paths"][path][method.lower()]
    assert {one["name"]: _short(one["schema"]) for one in offered.get("parameters", ())} == recorded.get("query", {})
    body = offered.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    assert (None if body is None else _short(body)) == recorded.get("body")
    (answer,) = offered["responses"]["200"]["content"].values()
    assert _short(answer["schema"]) == recorded["answer"]
    assert sorted(offered["responses"]) == recorded["statuses"]


@pytest.mark.parametrize("name", CONTRACT["schemas"])
def test_every_recorded_schema_has_its_fields_and_types(document: dict[str, Any], name: str) -> None:
    recorded = CONTRACT["schemas"][name]
    offered = document["components"]["schemas"][name]
    assert sorted(offered.get("required", [])) == sorted(recorded["required"])
    assert {field: _short(schema) for field, schema in offered["properties"].items()} == recorded["fields"]


def test_nothing_else_is_offered_under_the_api(document: dict[str, Any]) -> None:
    offered = {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}
    assert offered == set(CONTRACT["paths"])


@pytest.mark.parametrize("name", CONTRACT["cases"])
def test_every_recorded_request_is_answered_as_the_real_one_did(mini: Running, name: str) -> None:
    case = CONTRACT["cases"][name]
    raw = json.dumps(case["json"]) if "json" in case else case.get("raw")
    headers = {"content-type": case.get("type", "application/json")} if raw is not None else {}
    answer = mini.session.request(case["method"], mini.url + case["path"], data=raw, headers=headers, timeout=30)
    assert answer.status_code == case["status"]
    if "body" in case:
        assert answer.json() == case["body"]
    else:
        info = json.loads(answer.json()["info"])
        ignored = info["extra_generation_params"].pop("Ignored words", None)
        assert ignored in (None, "cat")
        assert {key: info[key] for key in case["said"]} == case["said"]
        assert list(info) == CONTRACT["info_keys"]
    assert mini.get("/sdapi/v1/progress").json()["state"]["job"] == ""


@pytest.mark.parametrize("endpoint", [one for one in CONTRACT["paths"] if one.startswith("GET ")])
def test_every_answer_fits_its_own_schema(mini: Running, document: dict[str, Any], endpoint: str) -> None:
    path = endpoint.removeprefix("GET ")
    answer = mini.get(path)
    assert answer.status_code == 200
    ((media, described),) = document["paths"][path]["get"]["responses"]["200"]["content"].items()
    assert answer.headers["content-type"].partition(";")[0] == media
    if described["schema"]:
        _assert_fits(answer.json(), described["schema"], document["components"]["schemas"], path)


TYPES = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "object": dict, "array": list}


def _assert_fits(value: Any, schema: dict[str, Any], schemas: dict[str, Any], place: str) -> None:
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    if value is None and (schema.get("nullable") or "type" not in schema):
        return
    if "type" in schema:
        assert isinstance(value, TYPES[schema["type"]]), f"{place}: {value!r} is no {schema['type']}"
    if schema.get("type") == "array":
        for item in value:
            _assert_fits(item, schema["items"], schemas, f"{place}[]")
    for name, field in schema.get("properties", {}).items():
        if name in value:
            _assert_fits(value[name], field, schemas, f"{place}.{name}")
        else:
            assert name not in schema.get("required", ()), f"{place} lacks {name}"
