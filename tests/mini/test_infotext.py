"""The text inside a picture: written as the real one writes it, and read back."""

from __future__ import annotations

import pytest

from sdlauncher.mini.infotext import read_infotext, write_infotext

RECORDED = (
    "a photo of a cat\nNegative prompt: blurry\nSteps: 4, Sampler: Euler, Schedule type: Karras, CFG scale: 7.0, "
    "Seed: 42, Size: 128x128, Model hash: 1fa93832b5, Model: tiny-a, Version: 1.10.1"
)


def test_a_recorded_text_is_read_as_recorded() -> None:
    read = read_infotext(RECORDED)
    expected = {
        "Steps": "4", "Sampler": "Euler", "Schedule type": "Karras", "CFG scale": "7.0", "Seed": "42", "Size-1": "128",
        "Size-2": "128", "Model hash": "1fa93832b5", "Model": "tiny-a", "Version": "1.10.1",
        "Prompt": "a photo of a cat", "Negative prompt": "blurry", "Clip skip": "1", "Hires resize-1": 0,
        "Hires resize-2": 0, "Hires sampler": "Use same sampler", "Hires schedule type": "Use same scheduler",
        "Hires checkpoint": "Use same checkpoint", "Hires prompt": "", "Hires negative prompt": "",
        "Mask mode": "Inpaint masked", "Masked content": "original", "Inpaint area": "Whole picture",
        "Masked area padding": 32, "RNG": "GPU", "Schedule max sigma": 0, "Schedule min sigma": 0, "Schedule rho": 0,
        "VAE Encoder": "Full", "VAE Decoder": "Full", "FP8 weight": "Disable",
        "Refiner switch by sampling steps": False,
    }  # fmt: skip
    assert read == expected
    assert list(read)[:12] == list(expected)[:12]


@pytest.mark.parametrize("prompt", ["red", "two\nlines", "a: b, c", "Steps: 3", "", "Seed: 1, Size: 2x2"])
@pytest.mark.parametrize("value", ["plain", "with, comma", "colon: here", 'a "quoted", word', "back\\slash, too"])
def test_what_is_written_is_read_back(prompt: str, value: str) -> None:
    parameters = {"Steps": 4, "Sampler": "Euler", "Seed": 7, "Size": "64x32", "Note": value, "Nothing": None}
    text = write_infotext(prompt, "blue", parameters)
    read = read_infotext(text)
    assert (read["Prompt"], read["Negative prompt"], read["Note"]) == (prompt, "blue", value)
    assert (read["Seed"], read["Size-1"], read["Size-2"]) == ("7", "64", "32")
    assert "Nothing" not in read


@pytest.mark.parametrize("text", ["", "only a prompt", "one: two", "a\nb", '"'])
def test_a_text_without_parameters_is_a_prompt(text: str) -> None:
    read = read_infotext(text)
    assert (read["Prompt"], read["Negative prompt"], read["Clip skip"]) == (text, "", "1")
    assert "Steps" not in read
