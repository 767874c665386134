"""The sieve: what holds a needle comes through, what does not is remembered in bounded memory."""

from __future__ import annotations

import random

from sdlauncher.core.sieve import Sieve, shapes_of

NEEDLES = {b"CUDA out of memory": ["oom"], b"early EOF": ["net"], b"[Errno 28]": ["disk"], b"CUDA error: ": ["gpu"]}


def sift(text: bytes) -> dict[bytes, tuple[str, ...]]:
    return dict(Sieve(NEEDLES).sift(shapes_of(text)))


def test_lines_that_differ_in_digits_alone_have_one_shape() -> None:
    assert len(set(shapes_of(b"10%| 1/10\n20%| 2/10\r30%| 3/10\n"))) == 2


def test_every_owner_of_a_line_is_found_wherever_the_needle_stands() -> None:
    assert sift(b"a CUDA out of memory, early EOF\nnothing\nCUDA error: x\n") == {
        b"a CUDA out of memory, early EOF": ("oom", "net"),
        b"CUDA error: x": ("gpu",),
    }
    assert sift(b"OSError: [Errno 28]") == {b"OSError: [Errno 00]": ("disk",)}


def test_it_finds_what_a_plain_search_finds() -> None:
    chance = random.Random(3)
    parts = [*NEEDLES, b"CUDA", b"early", b" EOF", b"[Errno ", b"28]", b"memory", b"\t", b"out of"]
    for _ in range(300):
        lines = [b" ".join(chance.choices(parts, k=chance.randrange(6))) for _ in range(20)]
        found = sift(b"\n".join(lines))
        for shape in shapes_of(b"\n".join(lines)):
            owners = {who for needle, them in NEEDLES.items() for who in them if shapes_of(needle)[0] in shape}
            assert owners <= set(found.get(shape, ()))


def test_memory_stays_bounded_however_different_the_lines_are() -> None:
    sieve = Sieve(NEEDLES)
    chance = random.Random(4)
    for _ in range(40):
        sieve.sift([chance.randbytes(250).hex().encode().translate(None, b"0123456789") * 2 for _ in range(1000)])
    assert sieve._harmless_bytes <= 16 * 1024**2
    assert sum(map(len, sieve._harmless)) <= 16 * 1024**2
