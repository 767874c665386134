"""Bodies are read as pydantic 1 read them: a table of values, what became of them, and what was said against them."""

from __future__ import annotations

from typing import Any

import pytest

from sdlauncher.mini.fields import InvalidRequestError, read_form, read_json, read_query

TXT2IMG = "StableDiffusionProcessingTxt2Img"
EXTRAS = "ExtrasSingleImageRequest"


@pytest.mark.parametrize(
    ("schema", "field", "given", "read"),
    [
        (TXT2IMG, "steps", "2", 2),
        (TXT2IMG, "steps", 2.9, 2),
        (TXT2IMG, "steps", True, 1),
        (TXT2IMG, "steps", None, None),
        (TXT2IMG, "cfg_scale", "7.5", 7.5),
        (TXT2IMG, "cfg_scale", 7, 7.0),
        (TXT2IMG, "prompt", 5, "5"),
        (TXT2IMG, "prompt", None, None),
        (TXT2IMG, "enable_hr", "Yes", True),
        (TXT2IMG, "enable_hr", "off", False),
        (TXT2IMG, "enable_hr", 1, True),
        (TXT2IMG, "send_images", "f", False),
        (TXT2IMG, "styles", ["a", 1], ["a", "1"]),
        (TXT2IMG, "alwayson_scripts", [], {}),
        (TXT2IMG, "alwayson_scripts", [["seed", 1]], {"seed": 1}),
        (EXTRAS, "resize_mode", 1, 1),
        (EXTRAS, "upscaling_resize_w", 1, 1),
        (EXTRAS, "gfpgan_visibility", 1, 1.0),
    ],
)
def test_what_can_be_converted_is(schema: str, field: str, given: Any, read: Any) -> None:
    found = read_form(schema, {field: given})[field]
    assert (found, type(found)) == (read, type(read))


@pytest.mark.parametrize(
    ("schema", "field", "given", "text", "kind"),
    [
        (TXT2IMG, "steps", "abc", "value is not a valid integer", "type_error.integer"),
        (TXT2IMG, "steps", "2.5", "value is not a valid integer", "type_error.integer"),
        (TXT2IMG, "steps", [1], "value is not a valid integer", "type_error.integer"),
        (TXT2IMG, "steps", float("inf"), "value is not a valid integer", "type_error.integer"),
        (TXT2IMG, "cfg_scale", "x", "value is not a valid float", "type_error.float"),
        (TXT2IMG, "cfg_scale", {}, "value is not a valid float", "type_error.float"),
        (TXT2IMG, "prompt", ["a"], "str type expected", "type_error.str"),
        (TXT2IMG, "enable_hr", "maybe", "value could not be parsed to a boolean", "type_error.bool"),
        (TXT2IMG, "enable_hr", 2, "value could not be parsed to a boolean", "type_error.bool"),
        (TXT2IMG, "send_images", None, "none is not an allowed value", "type_error.none.not_allowed"),
        (TXT2IMG, "styles", "a", "value is not a valid list", "type_error.list"),
        (TXT2IMG, "override_settings", "a", "value is not a valid dict", "type_error.dict"),
        (EXTRAS, "resize_mode", 2, "unexpected value; permitted: 0, 1", "value_error.const"),
        (EXTRAS, "resize_mode", [], "unexpected value; permitted: 0, 1", "value_error.const"),
        (
            EXTRAS, "upscaling_resize_w", 0,
            "ensure this value is greater than or equal to 1", "value_error.number.not_ge",
        ),
        (EXTRAS, "upscaling_resize", 0, "ensure this value is greater than 0", "value_error.number.not_gt"),
        (
            EXTRAS, "gfpgan_visibility", 1.5,
            "ensure this value is less than or equal to 1", "value_error.number.not_le",
        ),
    ],
)  # fmt: skip
def test_what_cannot_is_named_with_its_place(schema: str, field: str, given: Any, text: str, kind: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        read_form(schema, {field: given})
    (detail,) = caught.value.details
    assert (detail["loc"], detail["msg"], detail["type"]) == (["body", field], text, kind)


def test_every_wrong_field_is_named_and_lists_say_which_item() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        read_form("ExtrasBatchImagesRequest", {"resize_mode": 7, "imageList": [{"data": "x", "name": "y"}, {}]})
    assert [detail["loc"] for detail in caught.value.details] == [
        ["body", "resize_mode"],
        ["body", "imageList", 1, "data"],
        ["body", "imageList", 1, "name"],
    ]


def test_defaults_are_filled_in_fresh_and_unknown_fields_dropped() -> None:
    first = read_form(TXT2IMG, {"nosuch": 1})
    assert "nosuch" not in first
    assert (first["steps"], first["sampler_index"], first["width"]) == (50, "Euler", 512)
    first["alwayson_scripts"]["x"] = 1
    assert read_form(TXT2IMG, {})["alwayson_scripts"] == {}


@pytest.mark.parametrize(
    ("body", "content_type", "read"),
    [
        (b"", "application/json", None),
        (b'{"a": 1}', None, {"a": 1}),
        (b'{"a": 1}', "application/json; charset=utf-8", {"a": 1}),
        (b'{"a": 1}', "application/geo+json", {"a": 1}),
        (b'{"a": 1}', "text/plain", b'{"a": 1}'),
        ('{"a": "é"}'.encode("utf-16"), "application/json", {"a": "é"}),
    ],
)
def test_a_body_is_json_if_it_says_so_or_says_nothing(body: bytes, content_type: str | None, read: Any) -> None:
    assert read_json(body, content_type) == read


@pytest.mark.parametrize("body", [b'{"a"', b"\xff\xfe\xfd", b"[" * 100_000, b"\x80"])
def test_broken_bodies_are_told_as_such(body: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        read_json(body, "application/json")


def test_queries_are_read_alike() -> None:
    declared = {"skip": {"type": "boolean", "default": False}}
    assert read_query(declared, {}) == {"skip": False}
    assert read_query(declared, {"skip": "true", "other": "1"}) == {"skip": True}
    with pytest.raises(InvalidRequestError) as caught:
        read_query(declared, {"skip": "perhaps"})
    assert caught.value.details[0]["loc"] == ["query", "skip"]
